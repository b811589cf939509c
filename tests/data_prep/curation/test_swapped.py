"""Wrong transcripts are found and right ones are kept, with the default limits."""

import random

import pytest

from spirit_jax.core.files import read_json, write_jsonl
from spirit_jax.datasets.manifest import read_corpus
from tests.data_prep.conftest import prepare

SWAPPED = 0.1  # of the transcripts


def swap_texts(rows, seed):
    """The rows with a tenth of the texts given to other rows of these; and the ids of those."""
    rng = random.Random(seed)
    chosen = rng.sample(range(len(rows)), round(SWAPPED * len(rows)))
    texts = {i: rows[j]["text"] for i, j in zip(chosen, chosen[1:] + chosen[:1])}
    swapped = [{**row, "text": texts.get(i, row["text"])} for i, row in enumerate(rows)]
    return swapped, {rows[i]["id"] for i in chosen}


@pytest.mark.slow
@pytest.mark.parametrize(("utterances", "seed"), [(300, 0), (200, 11)])
def test_swapped_transcripts_are_rejected_and_right_ones_kept(tmp_path, utterances, seed):
    counts = ("--utterances", utterances * 7 // 6 + 1, "--text-only", 0, "--heldout", 0, "--heldout-voice", 0)
    assert (
        prepare("synthesize", "--voices", "espeak", "--out", tmp_path / "corpus", *counts, "--seed", seed)
        == 0
    )
    spoken = [row for row in read_corpus(tmp_path / "corpus") if row["text"]][:utterances]
    rows, swapped = swap_texts([{**row, "words": None} for row in spoken], seed)
    write_jsonl(tmp_path / "swapped.jsonl", rows)
    assert prepare("align", "--audio", tmp_path / "swapped.jsonl", "--out", tmp_path / "aligned") == 0
    assert prepare("curate", "--audio", tmp_path / "aligned", "--out", tmp_path / "curated") == 0
    kept = {row["id"] for row in read_corpus(tmp_path / "curated")}
    right = {row["id"] for row in rows} - swapped
    found, lost = len(swapped - kept) / len(swapped), len(right - kept) / len(right)
    aligned = {row["id"] for row in read_corpus(tmp_path / "aligned")}
    reasons = read_json(tmp_path / "curated" / "summary.json")["reasons"]
    print(f"{len(rows)} utterances: {found:.1%} of {len(swapped)} swapped transcripts are rejected,")
    print(f"{len(swapped - aligned)} of them not aligned; {lost:.1%} of {len(right)} right ones; {reasons}")
    assert found >= 0.95
    assert lost <= 0.02
