"""A tiny corpus taken through every stage once; tests read it and never change it."""

from types import SimpleNamespace

import pytest

from data_prep import __main__ as front_door
from spirit_jax.core import commands


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
    assert prepare("synthesize", "--out", at.corpus, *counts, "--processes", 1) == 0
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
