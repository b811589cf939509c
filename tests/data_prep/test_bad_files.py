"""From a folder with bad recordings to shards: exactly the good records, and a right reason for each bad
one.
"""

import collections
import subprocess
import sys
from pathlib import Path

import pytest

from spirit_jax.core.files import read_jsonl
from spirit_jax.datasets.shards import find_version, open_shards, split_sizes
from tests.data_prep.bad_files import WAYS, drop_privileges, make_bad_files
from tests.verbs import ROOT


def run(*words) -> None:
    """`python -m data_prep WORDS`, which must exit with 0, as a user who may not read every file."""
    command = [sys.executable, "-m", "data_prep", *map(str, words)]
    done = subprocess.run(
        command, cwd=ROOT, preexec_fn=drop_privileges, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run_chain(corpus: Path, out: Path) -> None:
    """Align, curate, units, tokenizer, shards."""
    run("align", "--audio", corpus, "--out", out / "aligned")
    # the default limit of the alignment score rejects a few right utterances of this voice, too
    options = ("--set", "needs_words=true", "alignment.least=0.3")
    run("curate", "--audio", out / "aligned", "--out", out / "curated", *options)
    run("fit-codec", "--audio", out / "curated", "--out", out / "codec", "--units", 20)
    run("units", "--audio", out / "curated", "--codec", out / "codec", "--out", out / "units")
    run("tokenizer", "--texts", out / "curated", "--size", 300, "--out", out / "tokenizer")
    inputs = ("--units", out / "units", "--tokenizer", out / "tokenizer", "--codec", out / "codec")
    run("shards", *inputs, "--out", out / "shards")


def ids_of(shards: Path) -> list[str]:
    version = find_version(shards)
    return [record.id for split in split_sizes(version) for record in open_shards(version, split=split)]


@pytest.mark.slow
@pytest.mark.parametrize(("good", "each", "seed"), [(32, 1, 3), (1800, 10, 0)])
def test_exactly_the_good_records_come_through(tmp_path, good, each, seed):
    made = make_bad_files(tmp_path, good, each, seed)
    run_chain(made.folder, tmp_path)
    assert sorted(ids_of(tmp_path / "shards")) == sorted(made.good)
    stages = ("aligned", "curated", "units")
    lines = [bad for stage in stages for bad in read_jsonl(tmp_path / stage / "quarantine.jsonl")]
    assert len(lines) == each * len(WAYS)
    seen = collections.Counter()
    for bad in lines:
        again = " again" if bad["reason"] == "duplicate_id" else ""
        way = made.way_of[f"{bad['id']}{again}"]
        assert bad["reason"] in WAYS[way], (way, bad)
        seen[way] += 1
    assert seen == dict.fromkeys(WAYS, each)
