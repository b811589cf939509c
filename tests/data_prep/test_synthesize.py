import json
import sys

import numpy as np
import pytest
import soundfile

from data_prep.speakers import ESPEAK, PICO, SPEAKERS
from data_prep.synthesize import plan
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
    assert {row["voice"] for row in by_split["train"]} == set(ESPEAK.training)
    assert {row["voice"] for row in by_split["heldout_voice"]} == set(ESPEAK.heldout)


def test_pairs_have_text_and_no_word_times(tmp_path):
    counts = ("--utterances", 4, "--pairs", 3, "--text-only", 2, "--heldout", 1, "--heldout-voice", 0)
    assert prepare("synthesize", "--voices", "espeak", "--out", tmp_path, *counts) == 0
    rows = read_corpus(tmp_path)
    pairs = [row for row in rows if row["split"] == "pairs"]
    assert len(pairs) == 3
    assert all(row["audio"] and row["text"] and not row["words"] for row in pairs)
    assert sum(bool(row["words"]) for row in rows) == 4  # one held out, three of train


def test_no_sentence_is_in_two_splits():
    counts = {"heldout": 280, "heldout_voice": 60, "train": 2400, "speech": 400, "pairs": 400, "text": 20_000}
    texts = [row["text"] for row in plan(counts, PICO, seed=0)]
    assert len(texts) == len(set(texts)) == sum(counts.values())


def test_held_out_sentences_stay_the_same_whatever_the_corpus_size():
    small, large = (list(plan({"heldout": 10, "train": n}, PICO, seed=0))[:10] for n in (5, 50))
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
    assert prepare("synthesize", "--voices", "espeak", "--out", tmp_path, *counts, "--processes", 2) == 0
    assert (tmp_path / "manifest.jsonl").read_bytes() == stages.manifest.read_bytes()
    for path in sorted((stages.corpus / "wav").iterdir()):
        assert (tmp_path / "wav" / path.name).read_bytes() == path.read_bytes()


def test_pico_says_the_same_in_any_number_of_processes(tmp_path):
    counts = ("--utterances", 9, "--text-only", 4, "--heldout", 2, "--heldout-voice", 2)
    for folder, processes in (("one", 1), ("three", 3)):
        assert prepare("synthesize", "--out", tmp_path / folder, *counts, "--processes", processes) == 0
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 9 + 2 + 2 + 1
    for path in files:
        assert (tmp_path / "three" / path).read_bytes() == (tmp_path / "one" / path).read_bytes()
    rows = read_corpus(tmp_path / "one/manifest.jsonl")
    assert not any(row["words"] for row in rows)
    for row in rows:
        if row["audio"]:
            info = soundfile.info(row["audio"])
            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert 1 < info.duration == pytest.approx(row["duration_s"], abs=1e-3)


@pytest.mark.parametrize("speakers", SPEAKERS.values(), ids=SPEAKERS)
def test_a_held_out_speaker_and_held_out_sentences_are_nowhere_else(speakers):
    rows = list(plan({"heldout": 50, "heldout_voice": 20, "train": 200, "speech": 30}, speakers, seed=0))
    by_split = {
        split: {row["voice"] for row in rows if row["split"] == split} for split in {r["split"] for r in rows}
    }
    assert by_split.pop("heldout_voice") == set(speakers.heldout)
    assert all(voices == set(speakers.training) for voices in by_split.values())
    assert not set(speakers.heldout) & set(speakers.training)
    assert len({row["text"] for row in rows}) == len(rows)


def test_a_missing_package_is_found_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "py_nanotts", None)
    assert prepare("synthesize", "--out", tmp_path / "new") == 2
    assert "requirements-demo.txt" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_another_seed_another_corpus(tmp_path):
    one, two = (list(plan({"train": 20}, PICO, seed)) for seed in (0, 1))
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
