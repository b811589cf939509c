"""Small shards on disk, and compiled programs shared between tests: a run that is resumed compiles the same
step again.
"""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.datasets.shards import Layout, Metadata
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.tokens.text import train_tokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training import preparation
from tests.written_units import write_rows

SENTENCES = [
    f"the {animal} {verb} the {thing}"
    for animal in ("cat", "dog", "cow")
    for verb in ("saw", "ate")
    for thing in ("hat", "mat", "bat")
]


def write(out, tokenizer, codec=None, layout=Layout.ALIGNED, spoken=True, aligned=8) -> None:
    """Shards of eight sentences, half of them held out; the first `aligned` have word times."""
    rows = []
    for index, text in enumerate(SENTENCES[:8]):
        words = [[word, 0.2 * place, 0.2 * place + 0.2] for place, word in enumerate(text.split())]
        speech = {
            "units": [index, *range(24)],
            "audio": "a.wav",
            "words": words if index < aligned else None,
            "duration_s": 1.0,
        }
        silent = {
            "audio": None,
            "words": None,
            "duration_s": None,
        }
        common = {
            "id": f"r{index}",
            "text": text,
            "voice": "v",
            "source": "s",
            "split": ("train", "held_out")[index % 2],
        }
        rows.append({**common, **(speech if spoken else silent)})
    special = (tokenizer.bos, tokenizer.eos, tokenizer.unk)
    vocabulary = Vocabulary(tokenizer.size, codec.streams if codec else (), *special)
    metadata = Metadata(layout, vocabulary, tokenizer.fingerprint, codec.fingerprint if codec else None)
    write_rows(rows, out, tokenizer, metadata)


@pytest.fixture(scope="session")
def at(tmp_path_factory):
    """Folders: two tokenizers, two codecs, spoken and written shards, of all, some and no aligned records."""
    root = tmp_path_factory.mktemp("sources")
    at = SimpleNamespace(
        **{
            name: root / name
            for name in ("tokenizer", "other_tokenizer", "codec", "other_codec", "spoken", "texts", "frozen")
        },
        half_aligned=root / "half_aligned",
        unaligned=root / "unaligned",
    )
    tokenizer = train_tokenizer(SENTENCES * 5, 290, at.tokenizer)
    train_tokenizer(SENTENCES[:6] * 5, 285, at.other_tokenizer)
    time_s = np.arange(16000) / 16000
    wavs = [np.sin(2 * np.pi * pitch * time_s).astype(np.float32) for pitch in (110.0, 220.0, 440.0)]
    codec = fit_codec(wavs, 32, expressive=False, seed=0)
    save_codec(codec, at.codec)
    save_codec(fit_codec(wavs, 32, expressive=False, seed=1), at.other_codec)
    write(at.spoken, tokenizer, codec)
    write(at.frozen, tokenizer, codec, Layout.INTERLEAVED)
    write(at.texts, tokenizer, spoken=False)
    write(at.half_aligned, tokenizer, codec, aligned=2)
    write(at.unaligned, tokenizer, codec, aligned=0)
    return at


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def devices_of_the_mesh(monkeypatch):
    """Runs see as many devices as their mesh has."""
    every = jax.devices()
    make = preparation.make_mesh
    monkeypatch.setattr(
        preparation,
        "make_mesh",
        lambda config: make(config, every[: config.data * config.fsdp * config.context * config.tensor]),
    )
