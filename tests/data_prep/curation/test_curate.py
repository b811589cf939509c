"""`data_prep curate` as a command: what is kept, what is rejected and why, and what a second call does."""

import re

import numpy as np
import pytest

from data_prep.curation import stage
from data_prep.curation.config import CurationConfig
from data_prep.curation.stage import judge_corpus, measure_corpus
from spirit_jax.core.files import read_json, read_jsonl, write_json, write_jsonl
from spirit_jax.datasets.manifest import read_corpus
from spirit_jax.speech import audio
from tests.data_prep.conftest import prepare


def with_noise(wav, decibels, seed=0):
    noise = np.random.default_rng(seed).normal(size=len(wav))
    return wav + noise * np.sqrt(np.mean(wav**2) / 10 ** (decibels / 10))


@pytest.fixture(scope="module")
def corpus(stages, tmp_path_factory):
    """Rows of the demo's corpus as an aligner writes them, and one that is bad in each way."""
    folder, rows = tmp_path_factory.mktemp("corpus"), []
    good = [row for row in read_corpus(stages.manifest) if row["words"]][:12]
    for number, row in enumerate(good):
        score = 0.55 + 0.01 * number
        rows.append({**row, "word_scores": [score] * len(row["words"]), "alignment_score": score})
    wav, first = audio.load(good[0]["audio"]), rows[0]
    changed = {
        "noisy": with_noise(wav, 3),
        "clipped": np.clip(wav, -0.05, 0.05) * 10,
        "silence": np.pad(wav, 9 * len(wav)),
        "constant": np.full(len(wav), 0.5),
    }
    for name, sound in changed.items():
        audio.save(folder / f"{name}.wav", sound)
        text = f"{first['text']} {name}"
        rows.append({"id": name, "audio": str(folder / f"{name}.wav"), "text": text, "split": "train"})
    rows += [
        {**rows[1], "id": "copy"},
        {**first, "id": "misplaced", "alignment_score": 0.1, "audio": rows[2]["audio"]},
        {**first, "id": "beyond", "words": [*first["words"], ["more", 100.0, 101.0]]},
        {"id": "missing", "audio": "missing.wav", "text": "hello"},
        {"id": "text", "text": "not spoken"},
        {"id": "text", "text": "the same id"},
        {"id": "broken", "audio": 7},
    ]
    write_jsonl(folder / "manifest.jsonl", rows)
    return folder


FAULTS = {
    "noisy": "low_noise",
    "clipped": "high_clipping",
    "silence": "high_silence",
    "constant": "silent",
    "copy": "same_sound",
    "misplaced": "low_alignment",
    "beyond": "words_beyond_sound",
    "missing": "missing",
    "text": "duplicate_id",
    "broken": "bad_row",
}


@pytest.fixture(scope="module")
def curated(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("curated")
    assert prepare("curate", "--audio", corpus, "--out", out, "--processes", 1, "--part-size", 5) == 0
    return out


def test_good_utterances_and_texts_are_kept_and_the_others_rejected_with_their_reason(curated, corpus):
    given = [row["id"] for row in read_corpus(corpus)]
    rejected = {bad["id"]: bad for bad in read_jsonl(curated / "quarantine.jsonl")}
    assert {id: FAULTS[id] for id in rejected} == {id: bad["reason"] for id, bad in rejected.items()}
    assert rejected.keys() == FAULTS.keys()
    kept = read_corpus(curated)
    assert [row["id"] for row in kept] == [id for id in given if id == "text" or id not in FAULTS]
    assert "misplaced" not in {row["id"] for row in kept}


def test_rejected_rows_keep_their_values_and_their_text(curated):
    rejected = {bad["id"]: bad for bad in read_jsonl(curated / "quarantine.jsonl")}
    assert rejected["noisy"]["scores"]["noise"] < 10
    assert "signal to noise" in rejected["noisy"]["detail"]
    assert rejected["noisy"]["text"].endswith("noisy")
    assert rejected["misplaced"]["scores"]["alignment"] == pytest.approx(0.1 + 0.17 / 11**0.5, abs=1e-3)
    assert rejected["noisy"]["reasons"][0] == "low_noise"


def test_the_summary_adds_up(curated):
    summary = read_json(curated / "summary.json")
    assert (summary["n_kept"], summary["n_texts"], summary["n_quarantined"]) == (12, 1, len(FAULTS))
    assert sum(summary["reasons"].values()) == len(FAULTS)
    assert summary["hours_kept"] > 0
    assert summary["hours_quarantined"] == pytest.approx(sum(summary["hours_by_reason"].values()), abs=1e-5)
    assert summary["scores"]["duration"]["n"] == 17
    assert summary["config"]["silence"] == {"least": None, "most": CurationConfig().silence.most}


def test_the_page_has_a_histogram_of_each_score_and_players(curated):
    page = (curated / "curation.html").read_text()
    assert page.count("<svg") == 8  # all but the unit rate
    assert "Units a second" in page
    assert page.count("<audio") == page.count("data:audio/wav;base64,")
    assert page.count("<audio") > 12
    assert "signal to noise" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_units_give_the_unit_rate(stages, tmp_path):
    options = ("--audio", stages.manifest, "--units", stages.units, "--processes", 1)
    assert prepare("curate", *options, "--out", tmp_path, "--set", "unit_rate.least=20") == 0
    scores = [row["scores"] for row in read_corpus(tmp_path) if row["audio"]]
    scores += [bad["scores"] for bad in read_jsonl(tmp_path / "quarantine.jsonl")]
    assert len(scores) == 29
    assert all(0 < one["unit_rate"] <= 25 for one in scores)
    reasons = read_json(tmp_path / "summary.json")["reasons"]
    assert reasons.get("low_unit_rate", 0) == sum(one["unit_rate"] < 20 for one in scores)


def test_limits_come_from_a_file_and_from_options(corpus, tmp_path):
    write_json(tmp_path / "limits.json", {"alignment": {"least": 0.65}, "noise": {}})
    options = ("--audio", corpus, "--out", tmp_path / "out", "--processes", 1)
    limits = ("--config", tmp_path / "limits.json", "--set", "clipping.most=null", "same_sound=false")
    assert prepare("curate", *options, *limits, "near_sound=false") == 0
    kept = {row["id"] for row in read_corpus(tmp_path / "out")}
    assert {"noisy", "clipped"} <= kept
    low = [row["id"] for row in read_corpus(corpus) if row.get("alignment_score", 1) < 0.59]
    assert len(low) > 3
    assert not kept & set(low)
    reasons = read_json(tmp_path / "out" / "summary.json")["reasons"]
    assert reasons["low_alignment"] >= len(low) - 1  # one of them is set aside for its words
    assert "same_sound" not in reasons


def test_other_limits_do_not_measure_again(corpus, tmp_path, monkeypatch):
    options = ("curate", "--audio", corpus, "--out", tmp_path, "--processes", 1)
    assert prepare(*options) == 0
    first = (tmp_path / "manifest.jsonl").read_bytes()
    monkeypatch.setattr(stage, "_measure_rows", lambda *_: pytest.fail("measured again"))
    assert prepare(*options, "--set", "noise.least=null") == 0
    assert (tmp_path / "manifest.jsonl").read_bytes() != first
    assert prepare(*options) == 0
    assert (tmp_path / "manifest.jsonl").read_bytes() == first


class Interrupted:
    """Rows that end with an interruption."""

    def __init__(self, rows, at):
        self.rows, self.at = rows, at

    def __iter__(self):
        for number, row in enumerate(self.rows):
            if number == self.at:
                raise KeyboardInterrupt
            yield row, None


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_interrupted_job_continues_and_gives_the_same_output(stages, tmp_path, monkeypatch):
    rows = [row for row in read_corpus(stages.manifest) if row["audio"]]
    config = CurationConfig()
    for name in ("whole", "killed"):
        if name == "killed":
            with pytest.raises(KeyboardInterrupt):
                measure_corpus(Interrupted(rows, 17), None, tmp_path / name, 1, 4)
            assert len(list((tmp_path / name / "parts").glob("*.jsonl"))) == 4
        judge_corpus(
            measure_corpus(((row, None) for row in rows), None, tmp_path / name, 1, 4),
            config,
            tmp_path / name,
        )
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_strict_fails_where_something_was_rejected(corpus, curated):
    assert prepare("curate", "--audio", corpus, "--out", curated, "--processes", 1, "--strict") == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--processes", 0),
        ("--part-size", 0),
        ("--examples", -1),
        ("--set", "silense.most=1"),
        ("--config", "nowhere.py"),
        ("--units", "nowhere"),
    ],
)
def test_wrong_options_end_with_one_line(options, corpus, tmp_path, capsys):
    assert prepare("curate", "--audio", corpus, "--out", tmp_path / "out", *options) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
