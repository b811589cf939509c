"""`data_prep segment` as a command: parts, words, texts, what is set aside, and what a second call does."""

import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from data_prep.segmentation.cuts import Lengths
from data_prep.segmentation.parts import TooLong, cut_row
from data_prep.segmentation.silence import Detector, measure
from data_prep.segmentation.stage import Work, segment_corpus
from spirit_jax.core.files import read_json, read_jsonl, write_jsonl
from spirit_jax.datasets.corpus import Corpus
from spirit_jax.datasets.manifest import open_corpus, part_of, read_corpus
from spirit_jax.speech import audio
from tests.data_prep.conftest import prepare

RATE = 16_000
FLOOR = 1e-4


def make_sound(spans, seconds, seed=0):
    """Bursts of noise at these times, in faint noise."""
    rng = np.random.default_rng(seed)
    wav = (FLOOR * rng.standard_normal(round(seconds * RATE))).astype(np.float32)
    for begin, end in spans:
        first, last = round(begin * RATE), round(end * RATE)
        wav[first:last] += (0.1 * rng.standard_normal(last - first)).astype(np.float32)
    return wav


def make_words(rng, count, pause=(0.0, 0.2), long_pause=0.2):
    """Times of words, some of them followed by a pause of half a second to 2 s; and where the sound ends."""
    spans, now = [], rng.uniform(0, 3)
    for _ in range(count):
        end = now + rng.uniform(0.1, 0.8)
        spans.append((round(now, 3), round(end, 3)))
        now = end + (rng.uniform(0.5, 2) if rng.random() < long_pause else rng.uniform(*pause))
    return spans, now + rng.uniform(0, 3)


def make_row(spans, text=None, words=None):
    words = words or [f"w{i}" for i in range(len(spans))]
    timed = [[word, *span] for word, span in zip(words, spans)]
    return {"id": "r", "audio": "r.wav", "words": timed, "text": " ".join(words) if text is None else text}


def absolute(part):
    offset = part["offset"]
    return [(word, begin + offset, end + offset) for word, begin, end in part["words"]]


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.4]))
def test_each_part_has_its_words_and_its_text(seed, long_pause):
    """Odd spaces, punctuation, dashes without times and words that are joined to another."""
    rng = np.random.default_rng(seed)
    spans, seconds = make_words(rng, 60, long_pause=long_pause)
    written = [rng.choice(["Oh,", "x7!", "“so”", "Ünter", "don't"]) for _ in spans]
    entries = [
        f"{word} —" if rng.random() < 0.1 else f"{word} lost" if rng.random() < 0.1 else word
        for word in written
    ]
    spaces = rng.choice([" ", "  ", "\n", "\t ", "\u00a0"], len(" ".join(entries).split()))
    text = " \n" + "".join(token + space for token, space in zip(" ".join(entries).split(), spaces))
    row, sound = make_row(spans, text, entries), measure([make_sound(spans, seconds)], Detector.ENERGY)
    parts = cut_row(row, sound, Lengths(1.0, 8.0, 0.3)).parts
    assert not any(isinstance(part, TooLong) for part in parts)
    assert "".join(part["text"] for part in parts) == text
    assert [word for part in parts for word, _, _ in part["words"]] == entries
    for (word, begin, end), (entry, *span) in zip(
        (x for part in parts for x in absolute(part)), row["words"]
    ):
        assert (word, begin, end) == (
            entry,
            pytest.approx(span[0], abs=2e-4),
            pytest.approx(span[1], abs=2e-4),
        )
    edges = [round(part["offset"] + part["duration"] * end, 4) for part in parts for end in (0, 1)]
    assert edges == sorted(edges)
    for part in parts:
        assert part["duration"] <= 8.0 + 1e-4
        assert part["text"].split() == [token for word, _, _ in part["words"] for token in word.split()]
        assert part["words"][0][1] >= 0
        assert part["words"][-1][2] <= part["duration"] + 2e-4
    inside = [(begin + 1e-3, end - 1e-3) for begin, end in spans]
    assert not [edge for edge in edges for begin, end in inside if begin < edge < end], "no word is cut"


def test_scores_go_with_their_words():
    spans = [(k, k + 0.5) for k in range(30)]
    row = {**make_row(spans), "word_scores": [k / 30 for k in range(30)], "alignment_score": 0.5}
    parts = cut_row(row, measure([make_sound(spans, 30)], Detector.ENERGY), Lengths(1, 10, 0.3)).parts
    assert [score for part in parts for score in part["word_scores"]] == row["word_scores"]
    for part in parts:
        assert part["alignment_score"] == pytest.approx(np.mean(part["word_scores"]), abs=1e-3)


def test_a_text_of_other_words_is_replaced_by_the_words():
    spans = [(k, k + 0.5) for k in range(30)]
    row = make_row(spans, text="this is the text of something else, which was not said here")
    cut = cut_row(row, measure([make_sound(spans, 30)], Detector.ENERGY), Lengths(1, 10, 0.3))
    assert cut.other_text
    assert " ".join(part["text"] for part in cut.parts) == " ".join(f"w{k}" for k in range(30))
    untold = cut_row(
        {**row, "text": None}, measure([make_sound(spans, 30)], Detector.ENERGY), Lengths(1, 10, 0.3)
    )
    assert not untold.other_text
    assert {part["text"] for part in untold.parts} == {None}


def test_sound_of_words_without_times_at_the_ends_is_kept():
    spans = [(k, k + 0.5) for k in range(10, 20)]
    sound = measure([make_sound([(0, 9), *spans, (21, 30)], 30)], Detector.ENERGY)
    words = [f"w{k}" for k in range(10)]
    parts = cut_row(
        make_row(spans, "some more words " + " ".join(words), words), sound, Lengths(1, 12, 0.3)
    ).parts
    assert (parts[0]["offset"], parts[-1]["offset"] + parts[-1]["duration"]) == pytest.approx((0, 19.75))


@pytest.fixture
def corpus(tmp_path):
    """Long and short recordings with and without text and word times, and bad ones."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(0)
    spans, seconds = make_words(rng, 80)
    soundfile.write(folder / "long.flac", make_sound(spans, seconds), RATE)
    soundfile.write(folder / "short.wav", make_sound([(0.5, 4)], 5), RATE)
    soundfile.write(folder / "steady.wav", make_sound([(0, 20), (25, 27), (30, 33)], 34), RATE)
    soundfile.write(folder / "quiet.wav", make_sound([], 40), RATE)
    whole = (folder / "long.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    text = make_row(spans)
    rows = [
        {**text, "id": "told", "audio": "long.flac", "voice": "anna", "mine": 7},
        {"id": "speech", "audio": "long.flac"},
        {"id": "untimed", "audio": "long.flac", "text": "words without times"},
        {"id": "short", "audio": "short.wav", "text": "short"},
        {"id": "part", "audio": "long.flac", "start": 10.0, "end": 31.0},
        {"id": "steady", "audio": "steady.wav"},
        {"id": "quiet", "audio": "quiet.wav"},
        {"id": "cut", "audio": "cut.flac"},
        {"id": "missing", "audio": "missing.wav"},
        {"id": "late", "audio": "steady.wav", "words": [["a", 0, 20], ["b", 25, 99]]},
        {"id": "one", "audio": "steady.wav", "words": [["onelongword", 0, 20], ["b", 25, 27]]},
        {"id": "speech#00001", "audio": "short.wav"},
        {"id": "text", "text": "not spoken"},
    ]
    write_jsonl(folder / "manifest.jsonl", rows)
    return folder


OPTIONS = ("--longest", 10, "--shortest", 1, "--file-size", 3)


def test_a_corpus_in_parts(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare("segment", "--audio", corpus, "--out", out, *OPTIONS) == 0
    said = capsys.readouterr().out
    rows, before = read_corpus(out), {row["id"]: row for row in read_corpus(corpus)}
    assert len({row["id"] for row in rows}) == len(rows) > 15
    assert [row["id"] for row in rows] == sorted(
        (row["id"] for row in rows), key=lambda id: list(before).index(id.partition("#")[0])
    )
    by_id = {row["id"]: row for row in rows}
    assert by_id["short"] == before["short"]
    assert by_id["text"]["text"] == "not spoken"
    told = [row for row in rows if row["id"].startswith("told#")]
    assert "".join(row["text"] for row in told) == before["told"]["text"]
    assert {(row["voice"], row["mine"], row["audio"]) for row in told} == {
        ("anna", 7, str(corpus / "long.flac"))
    }
    reasons = {bad["id"]: bad["reason"] for bad in read_jsonl(out / "quarantine.jsonl")}
    assert reasons == {
        "untimed": "unaligned", "quiet": "silent", "cut": "truncated", "missing": "missing",
        "late": "words_beyond_sound", "steady#00001": "no_silence", "one#00001": "no_cut",
        "speech#00001": "duplicate_id",
    }  # fmt: skip
    summary = read_json(out / "summary.json")
    assert (summary["n_whole"], summary["n_cut"], summary["n_quarantined"]) == (2, 5, 8)
    assert summary["n_parts"] == len(rows) - 2
    assert "5 rows cut into" in said
    (bad,) = (bad for bad in read_jsonl(out / "quarantine.jsonl") if bad["id"] == "one#00001")
    assert (bad["offset"], round(bad["duration"])) == (0.0, 20)


def test_parts_are_read_and_begin_and_end_in_silence(corpus, tmp_path):
    assert prepare("segment", "--audio", corpus, "--out", tmp_path / "out", *OPTIONS) == 0
    parts = [row for row in read_corpus(tmp_path / "out") if "#" in row["id"]]
    for row in parts:
        wav = audio.load(row["audio"], corpus=True, part=part_of(row))
        assert len(wav) / RATE == pytest.approx(row["duration"], abs=1e-3)
        if row["id"].startswith("speech#"):
            assert np.abs(wav[:400]).max() < 0.01 > np.abs(wav[-400:]).max()
    inner = [row for row in parts if row["id"].startswith("part#")]
    assert inner[0]["offset"] >= 10
    assert inner[-1]["offset"] + inner[-1]["duration"] <= 31.0001


def test_units_take_the_parts(corpus, stages, tmp_path):
    assert prepare("segment", "--audio", corpus, "--out", tmp_path / "out", *OPTIONS) == 0
    assert (
        prepare("units", "--audio", tmp_path / "out", "--codec", stages.codec, "--out", tmp_path / "units")
        == 0
    )
    assert read_json(tmp_path / "units/summary.json")["reasons"] == {}


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_interrupted_job_continues_and_gives_the_same_output(corpus, tmp_path, monkeypatch):
    rows = Corpus(open_corpus(corpus).rows)
    work = Work(Lengths(1, 10, 0.3), Detector.ENERGY)
    segment_corpus(rows, work, tmp_path / "whole", 3)
    seen, cut = [], Work.cut

    def counted(self, row, admit):
        seen.append(row["id"])
        if len(seen) == 7:
            raise KeyboardInterrupt
        return cut(self, row, admit)

    monkeypatch.setattr(Work, "cut", counted)
    with pytest.raises(KeyboardInterrupt):
        segment_corpus(rows, work, tmp_path / "out", 3)
    assert not (tmp_path / "out/summary.json").exists()
    (tmp_path / "out/.summary.json.x.partial").mkdir()
    segment_corpus(rows, work, tmp_path / "out", 3)
    assert len(seen) < 7 + len(rows.rows)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    monkeypatch.setattr(Work, "cut", cut)
    segment_corpus(rows, Work(Lengths(1, 12, 0.3), Detector.ENERGY), tmp_path / "out", 3)
    assert contents(tmp_path / "out") != contents(tmp_path / "whole")


def test_lengths_are_checked_before_anything_is_read(tmp_path, capsys):
    options = ("--audio", tmp_path / "none", "--out", tmp_path / "out", "--shortest", 20)
    assert prepare("segment", *options) == 2
    assert "lengths.shortest" in capsys.readouterr().err
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == "[]"


@pytest.mark.slow
def test_a_long_transcript_is_aligned_and_then_cut(stages, tmp_path):
    """Two minutes of sentences of the demo's corpus, one after the other, with their text as one."""
    told = [row for row in read_corpus(stages.manifest) if row["words"]]
    wavs, text, starts, now = [], "", [], 0.0
    while now < 120:
        row = told[len(wavs) // 2 % len(told)]
        wav = audio.load(row["audio"])
        starts += [now + begin for _, begin, _ in row["words"]]
        wavs += [wav, FLOOR * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)]
        text += row["text"].capitalize() + ".\n\n"
        now += len(wav) / RATE + 0.5
    (tmp_path / "corpus").mkdir()
    audio.save(tmp_path / "corpus/long.flac", np.concatenate(wavs))
    (tmp_path / "corpus/long.txt").write_text(text)
    assert prepare("segment", "--audio", tmp_path / "corpus", "--out", tmp_path / "early") == 0
    (early,) = read_jsonl(tmp_path / "early/quarantine.jsonl")
    assert (early["reason"], "make align" in early["detail"]) == ("unaligned", True)
    assert (
        prepare("align", "--audio", tmp_path / "corpus", "--out", tmp_path / "aligned", "--processes", 1) == 0
    )
    options = ("--longest", 12, "--silence", 0.4)
    assert prepare("segment", "--audio", tmp_path / "aligned", "--out", tmp_path / "parts", *options) == 0
    parts = read_corpus(tmp_path / "parts")
    (before,) = read_corpus(tmp_path / "aligned")
    assert "".join(part["text"] for part in parts) == before["text"]
    assert len(parts) > 10
    between = [part["text"].rstrip().endswith(".") for part in parts]
    assert np.mean(between) > 0.8, "pocketsphinx places a few of the short words before a silence"
    found = [begin for part in parts for _, begin, _ in absolute(part)]
    assert np.abs(np.array(found) - starts).mean() < 0.03
