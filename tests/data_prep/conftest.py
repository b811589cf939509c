"""A tiny corpus taken through every stage once; tests read it and never change it."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_prep import __main__ as front_door
from spirit_jax.core import commands
from spirit_jax.speech.codec_folder import load_codec
from tests.speech_codes import make_streams


def prepare(*argv) -> int:
    """`python -m data_prep ARGV`, in this process."""
    return commands.run("python -m data_prep", "", front_door.COMMANDS, [str(word) for word in argv])


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    """Folders of a corpus of 29 utterances and 60 texts, its codec, units, tokenizer and aligned shards."""
    root = tmp_path_factory.mktemp("stages")
    at = SimpleNamespace(
        root=root, **{name: root / name for name in ("corpus", "codec", "units", "tokenizer", "shards")}
    )
    at.manifest = at.corpus / "manifest.jsonl"
    counts = ("--utterances", 21, "--text-only", 60, "--heldout", 5, "--heldout-voice", 3)
    assert prepare("synthesize", "--voices", "espeak", "--out", at.corpus, *counts, "--processes", 1) == 0
    assert prepare("fit-codec", "--audio", at.manifest, "--out", at.codec, "--units", 20, "--expressive") == 0
    assert (
        prepare("units", "--audio", at.manifest, "--codec", at.codec, "--out", at.units, "--shard-size", 10)
        == 0
    )
    assert prepare("tokenizer", "--texts", at.manifest, "--size", 320, "--out", at.tokenizer) == 0
    at.shard_options = (
        "--units",
        at.units,
        "--texts",
        at.manifest,
        "--tokenizer",
        at.tokenizer,
        "--codec",
        at.codec,
    )
    assert prepare("shards", *at.shard_options, "--out", at.shards) == 0
    return at


class CountingCodec:
    """A codec that counts what it encodes, and fails from the `fails_at`-th wav on."""

    streams, fingerprint = make_streams(5), "counting"

    def __init__(self, real, fails_at=None):
        self.real, self.fails_at, self.encoded = real, fails_at, 0

    def encode_batch(self, wavs):
        self.encoded += len(wavs)
        if self.fails_at is not None and self.encoded >= self.fails_at:
            raise KeyboardInterrupt
        return self.real.encode_batch(wavs)


@pytest.fixture(scope="module")
def codec(stages):
    return load_codec(stages.codec)


def voiced(seconds, rate=16_000, channels=1):
    wave = 0.3 * np.sin(2 * np.pi * 150 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.fixture
def unusable(tmp_path):
    """A recording for each reason of quarantine, and two good ones."""
    folder = tmp_path / "unusable"
    folder.mkdir()
    good = voiced(1.0)
    soundfile.write(folder / "good.wav", good, 16_000)
    soundfile.write(folder / "stereo.flac", voiced(1.0, 44_100, 2), 44_100)
    (folder / "corrupt.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEnonsense" * 20)
    (folder / "cut.flac").write_bytes((folder / "stereo.flac").read_bytes()[:30])
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "no_samples.wav", good[:0], 16_000)
    soundfile.write(folder / "silent.wav", 0 * good, 16_000)
    soundfile.write(folder / "blip.wav", voiced(0.05), 16_000)
    soundfile.write(
        folder / "nan.wav", np.where(np.arange(16_000)[:, None] == 7, np.nan, good), 16_000, subtype="FLOAT"
    )
    soundfile.write(folder / "eight.wav", voiced(1.0, 16_000, 8), 16_000)
    soundfile.write(folder / "slow.wav", voiced(1.0, 1_000), 1_000)
    return folder


REASONS = {
    "blip": "too_short",
    "corrupt": "unreadable",
    "cut": "unreadable",
    "eight": "too_many_channels",
    "empty": "empty",
    "nan": "not_finite",
    "no_samples": "empty",
    "silent": "silent",
    "slow": "low_rate",
}
