"""CTC emissions against transformers on random weights, at two sizes and both kinds of norm; skipped where it
isn't installed.
"""

import numpy as np
import pytest

from spirit_jax.core.files import write_json
from spirit_jax.speech.audio import normalize
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS
from spirit_jax.speech.encoders.wav2vec2.ctc import load_ctc
from tests.parity.golden import assert_close
from tests.parity.test_transformers_live import SIZES, WAVS, randomize

torch = pytest.importorskip("torch", reason="needs requirements-parity.txt")
transformers = pytest.importorskip("transformers", reason="needs requirements-parity.txt")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("stored", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(("size", "kind"), SIZES)
def test_emissions(size, kind, stored, tmp_path):
    config = transformers.Wav2Vec2Config(**size, **kind, vocab_size=11, pad_token_id=4)
    model = randomize(transformers.Wav2Vec2ForCTC(config))
    model.save_pretrained(tmp_path)
    if stored == "pytorch_model.bin":
        torch.save(model.state_dict(), tmp_path / stored)
        (tmp_path / "model.safetensors").unlink()
    write_json(tmp_path / "vocab.json", {chr(97 + id): id for id in range(11)})
    ours = load_ctc(tmp_path)
    assert ours.blank == 4
    for e_TV, wav in zip(ours.emissions(WAVS), WAVS):
        with torch.inference_mode():
            logits_TV = model(torch.from_numpy(normalize(wav, HF_EPS))[None]).logits[0]
        assert_close(e_TV, np.asarray(torch.log_softmax(logits_TV, -1)), "emissions")
