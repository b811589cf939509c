import json

import pytest

from spirit_jax.core.files import read_json, read_jsonl
from spirit_jax.datasets.manifest import open_corpus
from tests.data_prep.conftest import prepare


def write_corpus(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def corpora(tmp_path):
    """Recordings by ten voices, and texts that repeat half of their sentences."""
    spoken = [
        {"id": f"r{n}", "audio": f"{n}.wav", "text": f"Sentence number {n}.", "voice": f"v{n % 10}"}
        for n in range(200)
    ]
    spoken.append({"id": "d", "audio": "d.wav", "text": "sentence number 7", "split": "dev"})
    spoken.append({"id": "bad", "audio": "x.wav", "words": [["a", 2, 1]]})
    texts = [{"id": f"t{n}", "text": f"SENTENCE number {n}"} for n in range(100, 300)]
    return write_corpus(tmp_path / "spoken.jsonl", spoken), write_corpus(tmp_path / "texts.jsonl", texts)


def test_the_manifest_is_split_and_what_is_left_out_is_counted(corpora, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--sentences", 0.1, "--voices", 0.1)
    assert prepare("split", "--corpus", *corpora, "--out", out, *options) == 0
    printed = capsys.readouterr().out
    summary = read_json(out / "summary.json")
    kept, aside = list(read_jsonl(out / "manifest.jsonl")), list(read_jsonl(out / "quarantine.jsonl"))
    assert len(kept) + len(aside) == 402
    assert summary["reasons"]["word_times"] == 1
    assert sum(summary["reasons"].values()) == len(aside)
    assert sum(summary["splits"].values()) == len(kept)
    assert summary["splits"]["dev"] == 1
    (voice,) = summary["voices_held_out"]
    train = [row for row in kept if row["split"] in ("train", "text", "speech")]
    held = [row for row in kept if row["split"].startswith("heldout")]
    assert held
    assert voice not in {row["voice"] for row in train}
    assert not {row["text"].lower().rstrip(".") for row in train} & {
        row["text"].lower().rstrip(".") for row in held
    }
    assert summary["leaked_by_corpus"] == (voice != "v7")
    assert "left out: " in printed
    assert ("1 rows for training have sentences" in printed) == (voice != "v7")


def test_later_stages_read_it_as_any_corpus(corpora, tmp_path):
    out = tmp_path / "out"
    assert prepare("split", "--corpus", *corpora, "--out", out) == 0
    corpus = open_corpus(out)
    assert {row["id"]: row["split"] for row in corpus.rows} == {
        row["id"]: row["split"] for row in read_jsonl(out / "manifest.jsonl")
    }
    assert not corpus.set_aside
    assert corpus.recordings[0]["audio"] == str(tmp_path / "0.wav")


def test_the_same_corpus_is_split_the_same_again(corpora, tmp_path):
    for name in ("one", "two", "two"):
        assert prepare("split", "--corpus", *corpora, "--out", tmp_path / name) == 0
    assert (tmp_path / "one/manifest.jsonl").read_bytes() == (tmp_path / "two/manifest.jsonl").read_bytes()


def test_an_id_of_two_corpora_is_refused(corpora, tmp_path, capsys):
    assert prepare("split", "--corpus", corpora[1], corpora[1], "--out", tmp_path / "out") == 2
    assert "200 ids do so" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [("--sentences", 1), ("--voices", -0.1), ("--lines",)])
def test_wrong_options_are_one_line(corpora, tmp_path, capsys, options):
    assert prepare("split", "--corpus", *corpora, "--out", tmp_path / "out", *options) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
