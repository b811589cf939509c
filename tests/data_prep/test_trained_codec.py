"""The stages with a codec of trained networks in place of the weight-free one: the same commands, another
folder.
"""

import json
import sys

import numpy as np
import pytest

from spirit_jax import cli
from spirit_jax.config import Dtype, ModelConfig, Remat
from spirit_jax.evals.evaluation import read_records
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech import audio
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.data_prep.conftest import prepare
from tests.generation.tiny import random_llama
from tests.speech.tiny_codec import tiny_codec
from tests.weights_folder import save_weights


@pytest.fixture(scope="module")
def trained(stages, tmp_path_factory):
    """Codec, units and shards of the stages' corpus, and a random language model over them."""
    root, codec = tmp_path_factory.mktemp("trained"), tiny_codec()
    save_codec(codec, root / "codec")
    assert (
        prepare("units", "--audio", stages.manifest, "--codec", root / "codec", "--out", root / "units") == 0
    )
    words = (
        "--texts",
        stages.manifest,
        "--tokenizer",
        stages.tokenizer,
        "--codec",
        root / "codec",
        "--out",
        root / "shards",
    )
    assert prepare("shards", "--units", root / "units", *words) == 0
    vocabulary = Vocabulary(TextTokenizer.load(stages.tokenizer).size, codec.streams)
    sizes = {"width": 16, "layers": 1, "heads": 2, "kv_heads": 2, "head_width": 8, "mlp_width": 16}
    cfg = ModelConfig(rows=vocabulary.rows(), dtype=Dtype.FLOAT32, remat=Remat.NONE, **sizes)
    save_weights(root / "lm", random_llama(cfg, 0.1), vocabulary, stages.tokenizer, root / "codec")
    return root


def test_shards_hold_its_codes(stages, trained):
    lm = SpiritLM.load(trained / "lm")
    records = read_records(lm, trained / "shards", "heldout", 5)
    rows = {row["id"]: row for row in map(json.loads, stages.manifest.read_text().splitlines())}
    for record in records:
        speech = tiny_codec().encode_batch([audio.load(stages.corpus / rows[record.id]["audio"])])[0]
        np.testing.assert_array_equal(record.speech.units, speech.units)
        for name, codes in speech.codes.items():
            np.testing.assert_array_equal(record.speech.codes[name], codes)


def test_generated_speech_is_spoken(stages, trained, tmp_path, monkeypatch, capsys):
    recording = next(stages.corpus.glob("wav/*.wav"))
    words = [
        "--checkpoint",
        trained / "lm",
        "--prompt-audio",
        recording,
        "--output-modality",
        "speech",
        "--max-new-tokens",
        12,
        "--out",
        tmp_path,
    ]
    monkeypatch.setattr(sys, "argv", ["spirit", "generate", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    line = json.loads(capsys.readouterr().out)
    wav = audio.load(line["audio"][0])
    assert len(wav) % 640 == 0
    assert len(wav) >= 640
