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
from tests.evals.data_sets import Writer, write_lexical, write_mmlu, write_salmon, write_stories
from tests.generation.world import UNITS, Tones
from tests.parity.golden import require
from tests.speech_codes import make_vocabulary

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
VOCABULARY = make_vocabulary(200, UNITS)  # its ids fit into the tables of the golden Llamas
STORIES = [f"topic_storycloze_{direction}" for direction in ("t", "s", "t2s", "s2t")]
NAMES = ("swuggy", f"salmon_{PARTS[3]}", *STORIES, "mmlu")


class Letters:
    """A tokenizer of so few ids that they fit into the tables of the golden Llamas: a character is an id."""

    def encode(self, text: str, inside: bool = False) -> list[int]:
        return [3 + ord(character) % 190 for character in text]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    writer = Writer(tmp_path_factory.mktemp("data"))
    write_lexical(writer, 10)
    write_salmon(writer, PARTS[3], 20)
    write_stories(writer, "tStoryCloze", 20)
    write_mmlu(writer)
    return writer.root


def ids_of(said) -> list[int]:
    """The tag and the ids of a text, or of the units of a sound without those that repeat."""
    if isinstance(said, str):
        return [VOCABULARY.text_tag, *Letters().encode(said)]
    units = Tones().encode_batch([audio.load(said.path)])[0].units
    return [VOCABULARY.speech_tag, *(VOCABULARY.speech_start + units[np.append(True, np.diff(units) != 0)])]


def mean_log_prob(peer, context, candidate) -> float:
    """Of the candidate's tokens without its tag, each given all ids before it. Within a modality there is one
    tag.
    """
    ids, given = [1], 1
    for part in (*context, candidate):
        tag, *found = ids_of(part)
        ids += [tag] * (tag not in ids)
        given = len(ids)
        ids += found
    with torch.no_grad():
        log_probs = peer(torch.tensor([ids])).logits[0].log_softmax(-1)
    return float(np.mean([log_probs[i - 1, ids[i]] for i in range(given, len(ids))]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("golden", ["llama_hf", "llama_gqa_hf"])
def test_accuracies_are_those_of_transformers(tmp_path, data, golden, name):
    folder = require(golden) / golden
    import_llama(folder, tmp_path / "ours")
    llama = load_model(tmp_path / "ours", dtype=Dtype.FLOAT32).llama
    lm = SpiritLM(llama, PromptFormat(VOCABULARY, Letters(), "", ""), None, False, 64, frozenset())
    lm.__dict__["codec"] = Tones()
    result = measure(BENCHMARKS[name], Evaluation(lm, [], data=data))
    peer = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    by_item = {}
    for row, trial in zip(result.rows, BENCHMARKS[name].layout.read(data, "dev")):
        scores = [mean_log_prob(peer, trial.context, said) for said in trial.candidates]
        np.testing.assert_allclose(row["means"], scores, rtol=1e-4)
        by_item.setdefault(trial.item, []).append((scores[0] == max(scores)) / scores.count(max(scores)))
    assert result.value == pytest.approx(np.mean([np.mean(wins) for wins in by_item.values()]))
    assert 0 < result.value < 1
