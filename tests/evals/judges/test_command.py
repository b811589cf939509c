"""`fit-classifier` as a user runs it."""

import re

import pytest

from spirit_jax.evals.judges.classifiers import load_classifier
from spirit_jax.evals.judges.toxicity import load_toxic_labels
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.folders import spirit
from tests.evals.suites.test_sentiment import write_stsp


@pytest.mark.parametrize(("kind", "least"), [("text", 12), ("speech", 7)])
def test_a_classifier_is_fitted_and_says_how_good_it_is(tmp_path, capsys, kind, least):
    write_stsp(tmp_path, 60)
    assert spirit("fit-classifier", "--data", tmp_path, "--kind", kind, "--out", tmp_path / "judge") == 0
    said = re.search(r"negative, neutral, positive; right in (\d+) of 12", capsys.readouterr().out)
    assert int(said[1]) >= least
    judge = load_classifier(tmp_path / "judge", Modality(kind), "--option")
    assert judge.labels == ("negative", "neutral", "positive")


def test_a_classifier_of_toxic_comments_is_fitted(tmp_path, capsys):
    (tmp_path / "jigsaw").mkdir()
    rows = [f"{i},you {'rotter' if i % 3 == 0 else 'friend'} {i % 7},{int(i % 3 == 0)}" for i in range(60)]
    (tmp_path / "jigsaw/train.csv").write_text("\n".join(["id,comment_text,toxic", *rows]) + "\n")
    words = ["--data", tmp_path, "--kind", "toxicity", "--out", tmp_path / "judge"]
    assert spirit("fit-classifier", *words) == 0
    assert "fine, toxic; right in 12 of 12" in capsys.readouterr().out
    assert load_toxic_labels(tmp_path / "judge").find_toxic(["you rotter", "you friend"]) == [True, False]
    (tmp_path / "jigsaw/train.csv").write_text("id,comment_text,toxic\n1,you rotter,1\n2,you friend,-1\n")
    assert spirit("fit-classifier", *words) == 2
    assert "train.csv line 3, toxic = -1: must be 0 or 1" in capsys.readouterr().err
    (tmp_path / "jigsaw/train.csv").unlink()
    assert spirit("fit-classifier", *words) == 2
    assert "no train.csv; the layout is jigsaw/train.csv with comment_text" in capsys.readouterr().err


def test_sounds_that_cannot_be_read_are_counted(tmp_path, capsys):
    write_stsp(tmp_path, 60)
    (tmp_path / "stsp/wav/103.wav").write_bytes(b"no sound")
    assert spirit("fit-classifier", "--data", tmp_path, "--kind", "speech", "--out", tmp_path / "judge") == 0
    assert "1 of 60 sounds cannot be read" in capsys.readouterr().err


def test_mistakes_are_one_line_and_write_nothing(tmp_path, capsys):
    write_stsp(tmp_path, 6)
    for words in (["--data", tmp_path / "none"], ["--data", tmp_path]):
        assert spirit("fit-classifier", *words, "--kind", "text", "--out", tmp_path / "judge") == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "judge").exists()
