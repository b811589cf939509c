"""`data_prep align` as a command: what it writes, what it sets aside, and what a second call does."""

import concurrent.futures.process
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.alignment.aligners import GivenAligner, SphinxAligner
from data_prep.alignment.given import Given
from data_prep.alignment.stage import Work, align_corpus
from spirit_jax.core.errors import Halted
from spirit_jax.core.files import read_json, read_jsonl, write_jsonl
from spirit_jax.datasets.corpus import Corpus
from spirit_jax.datasets.manifest import read_corpus
from tests.data_prep.conftest import prepare
from tests.speech.encoders.wav2vec2.test_ctc import store_ctc

SAID = {"heldout-000000", "heldout-000001"}


def part_row(row, first=4):
    """The words of a row's recording from the `first` on, without their times."""
    text = " ".join(word for word, _, _ in row["words"][first:])
    return {"id": "part", "audio": row["audio"], "offset": row["words"][first][1], "text": text}


@pytest.fixture(scope="module")
def corpus(stages, tmp_path_factory):
    """Recordings of the demo's corpus, without word times, among rows of all other kinds."""
    folder = tmp_path_factory.mktemp("corpus")
    kept, rows = [row for row in read_corpus(stages.manifest) if row["id"] in SAID], []
    for row in kept:
        rows.append({**row, "words": None, "text": row["text"].upper()})
    times = {**kept[0], "id": "timed"}
    soundfile.write(folder / "tone.wav", 0.3 * np.sin(np.arange(16_000)), 16_000)
    (folder / "broken.wav").write_bytes(b"RIFF")
    rows += [
        times,
        {"id": "text", "text": "Not spoken"},
        {"id": "speech", "audio": kept[0]["audio"]},
        {"id": "tone", "audio": "tone.wav", "text": "[a tone]"},
        {"id": "broken", "audio": "broken.wav", "text": "hello"},
        {"id": "missing", "audio": "missing.wav", "text": "hello"},
        {"id": "mistake", "audio": "tone.wav", "text": 5},
        part_row(kept[0]),
    ]
    write_jsonl(folder / "manifest.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def aligned(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("aligned")
    options = ("--processes", 1, "--part-size", 3, "--casing", "sentence")
    assert prepare("align", "--audio", corpus, "--out", out, *options) == 0
    return out


def test_transcribed_recordings_get_word_times_and_scores(aligned, stages):
    truth = {row["id"]: row for row in read_corpus(stages.manifest)}
    rows = {row["id"]: row for row in read_corpus(aligned)}
    for id in SAID:
        row = rows[id]
        assert len(row["words"]) == len(row["word_scores"]) == len(truth[id]["words"])
        errors = [abs(ours[1] - theirs[1]) for ours, theirs in zip(row["words"], truth[id]["words"])]
        assert np.mean(errors) < 0.05
        assert all(0 <= score <= 1 for score in [*row["word_scores"], row["alignment_score"]])
        assert row["text"] == truth[id]["text"].capitalize() == " ".join(word for word, _, _ in row["words"])
        assert {key: row[key] for key in ("voice", "split", "source")} == {
            key: truth[id][key] for key in ("voice", "split", "source")
        }


def test_other_rows_are_kept_as_they_are(aligned, corpus):
    before = {row["id"]: row for row in read_corpus(corpus)}
    rows = {row["id"]: row for row in read_corpus(aligned)}
    assert set(rows) == SAID | {"timed", "text", "speech", "part"}
    assert rows["speech"] == before["speech"]
    assert [word[1:] for word in rows["timed"]["words"]] == [word[1:] for word in before["timed"]["words"]]


def test_words_of_a_part_have_times_from_where_it_begins(aligned, stages):
    truth = {row["id"]: row for row in read_corpus(stages.manifest)}["heldout-000000"]["words"][4:]
    (part,) = (row for row in read_corpus(aligned) if row["id"] == "part")
    errors = [
        abs(ours[1] - (theirs[1] - part["offset"])) for ours, theirs in zip(part["words"], truth, strict=True)
    ]
    assert np.mean(errors) < 0.05


def test_what_is_set_aside_has_a_reason(aligned):
    reasons = {bad["id"]: bad["reason"] for bad in read_jsonl(aligned / "quarantine.jsonl")}
    wrong = {"tone": "no_spoken_words", "broken": "unreadable", "missing": "missing", "mistake": "bad_row"}
    assert reasons == wrong


def test_the_summary_counts_every_row(aligned):
    summary = read_json(aligned / "summary.json")
    kinds = ("n_aligned", "n_had_word_times", "n_speech_only", "n_text_only", "n_quarantined")
    assert [summary[kind] for kind in kinds] == [3, 1, 1, 1, 4]
    assert summary["reasons"] == {"no_spoken_words": 1, "unreadable": 1, "missing": 1, "bad_row": 1}
    assert summary["aligner"] == "pocketsphinx"


def test_rows_of_other_splits_are_kept_as_they_are(corpus, tmp_path):
    assert (
        prepare("align", "--audio", corpus, "--out", tmp_path, "--processes", 1, "--splits", "heldout") == 0
    )
    rows = {row["id"]: row for row in read_corpus(tmp_path)}
    assert {id for id, row in rows.items() if row["words"]} == SAID | {"timed"}
    (before,) = (row for row in read_corpus(corpus) if row["id"] == "part")
    assert rows["part"] == before
    # the part, and three whose sound or words would have been found wanting
    summary = read_json(tmp_path / "summary.json")
    assert (summary["n_of_other_splits"], summary["reasons"]) == (4, {"bad_row": 1})


def test_a_split_that_no_row_has_is_refused(corpus, tmp_path, capsys):
    assert prepare("align", "--audio", corpus, "--out", tmp_path, "--splits", "heldout", "trian") == 2
    assert "--splits = trian: no row of the corpus has it; its splits are heldout" in capsys.readouterr().err


def test_strict_fails_where_something_was_set_aside(corpus, tmp_path):
    assert prepare("align", "--audio", corpus, "--out", tmp_path, "--processes", 1, "--strict") == 1


def test_units_read_what_was_written(aligned, stages, tmp_path):
    assert prepare("units", "--audio", aligned, "--codec", stages.codec, "--out", tmp_path) == 0
    assert read_json(tmp_path / "summary.json")["n_ok"] == 5


class Counting(GivenAligner):
    """Given times; counts the rows, and dies at the `fails_at`-th."""

    def __init__(self, rows, fails_at=None):
        times = {
            row["id"]: [Given(word, *span) for word, *span in row["words"]] for row in rows if row["words"]
        }
        super().__init__(times, "en")
        self.fails_at, self.seen = fails_at, 0

    def _match(self, row):
        self.seen += 1
        if self.seen == self.fails_at:
            raise KeyboardInterrupt
        return super()._match(row)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run_stage(rows, out, fails_at=None):
    aligner = Counting(rows, fails_at)
    align_corpus(Corpus(rows), Work(aligner, replace=True), out, 4)
    return aligner.seen


def test_an_interrupted_job_continues_and_gives_the_same_output(stages, tmp_path):
    rows = [row for row in read_corpus(stages.manifest) if row["words"]]
    assert run_stage(rows, tmp_path / "whole") == len(rows)
    with pytest.raises(KeyboardInterrupt):
        run_stage(rows, tmp_path / "killed", fails_at=10)
    assert not (tmp_path / "killed" / "summary.json").exists()
    assert run_stage(rows, tmp_path / "killed") == len(rows) - 8
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_only_changed_parts_are_made_again(stages, tmp_path):
    rows = [row for row in read_corpus(stages.manifest) if row["words"]]
    run_stage(rows, tmp_path)
    assert run_stage(rows, tmp_path) == 0
    changed = [*rows[:5], {**rows[5], "voice": "another"}, *rows[6:]]
    assert run_stage(changed, tmp_path) == 4
    assert run_stage(rows[:4], tmp_path) == 4
    assert len(list((tmp_path / "parts").glob("*.jsonl"))) == 1


def test_given_times_reach_the_manifest_with_the_words_of_the_text(stages, tmp_path):
    row = next(row for row in read_corpus(stages.manifest) if row["id"] == "heldout-000000")
    words = [{"word": word.lower(), "start": start, "end": end} for word, start, end in row["words"]]
    (tmp_path / "times").mkdir()
    (tmp_path / "times" / "heldout-000000.json").write_text(json.dumps({"words": words}))
    write_jsonl(tmp_path / "manifest.jsonl", [{**row, "words": None, "text": row["text"].title() + "."}])
    options = ("--times", tmp_path / "times")
    assert prepare("align", "--audio", tmp_path / "manifest.jsonl", "--out", tmp_path / "out", *options) == 0
    (found,) = read_corpus(tmp_path / "out")
    assert [word for word, _, _ in found["words"]] == (row["text"].title() + ".").split()
    assert [word[1] for word in found["words"]] == [word[1] for word in row["words"]]


def test_a_ctc_network_aligns(corpus, tmp_path):
    letters = "abcdefghijklmnopqrstuvwxyz'"
    folder = store_ctc(tmp_path / "model", {"<pad>": 0, **{c: i for i, c in enumerate(letters, 1)}})
    assert prepare("align", "--audio", corpus, "--out", tmp_path / "out", "--ctc", folder) == 0
    rows = {row["id"]: row for row in read_corpus(tmp_path / "out")}
    assert all(rows[id]["words"] for id in SAID)
    assert read_json(tmp_path / "out" / "summary.json")["n_quarantined"] == 4


def test_a_process_that_dies_ends_the_command_with_one_line(monkeypatch):
    def die(*_, **__):
        raise concurrent.futures.process.BrokenProcessPool("terminated abruptly")

    aligner = SphinxAligner(1)
    monkeypatch.setattr(aligner._processes._pool, "submit", die)
    with pytest.raises(Halted, match="run the same command again"):
        next(aligner.align([{"audio": "a.wav", "text": "a"}]))
    aligner.close()


def test_processes_end_with_a_command_that_is_killed():
    script = """if True:
        import multiprocessing, sys
        from data_prep.alignment.aligners import SphinxAligner
        aligner = SphinxAligner(1)
        next(aligner.align([{"audio": "a.wav", "text": "[note]"}]))
        print(multiprocessing.active_children()[0].pid, flush=True)
        sys.stdin.read()
    """
    command = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    worker = Path(f"/proc/{int(command.stdout.readline())}")
    assert worker.exists()
    command.kill()
    command.wait()
    deadline = time.monotonic() + 30
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--processes", 0),
        ("--part-size", 0),
        ("--language", "de"),
        ("--ctc", "a", "--times", "b"),
        ("--times", "nowhere"),
        ("--ctc", "nowhere"),
    ],
)
def test_wrong_options_end_with_one_line(options, corpus, tmp_path, capsys):
    assert prepare("align", "--audio", corpus, "--out", tmp_path / "out", *options) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(stages, tmp_path):
    for processes in (1, 2):
        options = ("--replace", "--processes", processes)
        assert prepare("align", "--audio", stages.manifest, "--out", tmp_path / str(processes), *options) == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
