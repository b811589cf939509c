import json

import numpy as np
import pytest
import soundfile

from data_prep.synthesize import HELDOUT_VOICES, TRAINING_VOICES, plan
from spirit_jax.datasets.manifest import read_corpus
from tests.data_prep.conftest import prepare


@pytest.fixture(scope="module")
def rows(stages):
    return read_corpus(stages.manifest)


def test_splits_hold_what_they_should(rows):
    by_split = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row)
    assert {name: len(part) for name, part in by_split.items()} == {
        "heldout": 5,
        "heldout_voice": 3,
        "train": 18,
        "speech": 3,
        "text": 60,
    }
    assert all(
        row["text"] and row["words"] and row["audio"]
        for row in by_split["train"] + by_split["heldout"] + by_split["heldout_voice"]
    )
    assert all(row["audio"] and not row["text"] and not row["words"] for row in by_split["speech"])
    assert all(row["text"] and not row["audio"] for row in by_split["text"])
    assert {row["voice"] for row in by_split["train"]} == set(TRAINING_VOICES)
    assert {row["voice"] for row in by_split["heldout_voice"]} == set(HELDOUT_VOICES)
    assert not set(HELDOUT_VOICES) & set(TRAINING_VOICES)


def test_no_sentence_is_in_two_splits():
    counts = {"heldout": 280, "heldout_voice": 60, "train": 2400, "speech": 400, "text": 20_000}
    texts = [row["text"] for row in plan(counts, seed=0)]
    assert len(texts) == len(set(texts)) == sum(counts.values())


def test_held_out_sentences_stay_the_same_whatever_the_corpus_size():
    small, large = (list(plan({"heldout": 10, "train": n}, seed=0))[:10] for n in (5, 50))
    assert small == large


def test_words_are_the_text_and_end_with_the_audio(rows):
    for row in rows:
        if row["words"]:
            assert " ".join(word for word, _, _ in row["words"]) == row["text"]
            info = soundfile.info(row["audio"])
            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert 0 <= info.duration - row["words"][-1][2] < 0.2
            assert abs(info.duration - row["duration_s"]) < 1e-3


def test_same_seed_same_bytes_in_any_number_of_processes(stages, tmp_path, rows):
    counts = ("--utterances", 21, "--text-only", 60, "--heldout", 5, "--heldout-voice", 3)
    assert prepare("synthesize", "--out", tmp_path, *counts, "--processes", 2) == 0
    assert (tmp_path / "manifest.jsonl").read_bytes() == stages.manifest.read_bytes()
    for path in sorted((stages.corpus / "wav").iterdir()):
        assert (tmp_path / "wav" / path.name).read_bytes() == path.read_bytes()


def test_another_seed_another_corpus(tmp_path):
    one, two = (list(plan({"train": 20}, seed)) for seed in (0, 1))
    assert one != two


def test_voices_are_at_a_sane_level(rows):
    peaks = [np.abs(soundfile.read(row["audio"])[0]).max() for row in rows if row["audio"]]
    assert min(peaks) > 0.1
    assert max(peaks) <= 1


@pytest.mark.parametrize(("option", "value"), [("--utterances", -1), ("--processes", 0)])
def test_wrong_counts_are_one_line_and_write_nothing(tmp_path, capsys, option, value):
    assert prepare("synthesize", "--out", tmp_path / "new", option, value) == 2
    error = capsys.readouterr().err
    assert option in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_manifest_is_json_lines(stages):
    for line in stages.manifest.read_text().splitlines():
        assert set(json.loads(line)) >= {"id", "audio", "text", "words", "voice", "source", "split"}
