"""Choice accuracies on the golden Llamas against plain loops with transformers. Needs
requirements-parity.txt.
"""

import numpy as np
import pytest

from spirit_jax.config import Dtype
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.layouts.salmon import PARTS
from spirit_jax.evals.task import measure
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.model.checkpoint import load_model
from spirit_jax.model_io.importing import import_llama
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import PromptFormat
from tests.evals.data_sets import Writer, write_lexical, write_salmon
from tests.generation.world import UNITS, Tones, tokenizer
from tests.parity.golden import require
from tests.speech_codes import make_vocabulary

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
VOCABULARY = make_vocabulary(200, UNITS)  # its ids fit into the tables of the golden Llamas
NAMES = ("swuggy", f"salmon_{PARTS[3]}")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    writer = Writer(tmp_path_factory.mktemp("data"))
    write_lexical(writer, 10)
    write_salmon(writer, PARTS[3], 20)
    return writer.root


def mean_log_prob(peer, wav) -> float:
    """Of the units of a sound, each given all ids before it."""
    units = Tones().encode_batch([wav])[0].units
    distinct = units[np.append(True, units[1:] != units[:-1])]
    ids = torch.tensor([[1, VOCABULARY.speech_tag, *(VOCABULARY.speech_start + distinct).tolist()]])
    with torch.no_grad():
        log_probs = peer(ids).logits[0].log_softmax(-1)
    return float(np.mean([log_probs[i - 1, ids[0, i]] for i in range(2, ids.shape[1])]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("golden", ["llama_hf", "llama_gqa_hf"])
def test_accuracies_are_those_of_transformers(tmp_path, data, golden, name):
    folder = require(golden) / golden
    import_llama(folder, tmp_path / "ours")
    llama = load_model(tmp_path / "ours", dtype=Dtype.FLOAT32).llama
    lm = SpiritLM(llama, PromptFormat(VOCABULARY, tokenizer(), "", ""), None, False, 64, frozenset())
    lm.__dict__["codec"] = Tones()
    result = measure(BENCHMARKS[name], Evaluation(lm, [], data=data))
    peer = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    by_item = {}
    for row, trial in zip(result.rows, BENCHMARKS[name].layout.read(data, "dev")):
        right, wrong = (mean_log_prob(peer, audio.load(sound.path)) for sound in trial.candidates)
        np.testing.assert_allclose(row["means"], [right, wrong], rtol=1e-4)
        by_item.setdefault(trial.item, []).append((right > wrong) + 0.5 * (right == wrong))
    assert result.value == pytest.approx(np.mean([np.mean(wins) for wins in by_item.values()]))
    assert 0 < result.value < 1
