import csv

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import BENCHMARKS
from tests.evals.data_sets import Writer, write_mmlu
from tests.generation.world import sentence

CHOICES = "A. fox\nB. cow\nC. hen\nD. dog"


@pytest.fixture
def root(tmp_path):
    write_mmlu(Writer(tmp_path))
    return tmp_path


def read(root):
    return BENCHMARKS["mmlu"].layout.read(root, "dev")


def test_a_question_follows_five_answered_ones_of_its_subject(root):
    trials = read(root)
    assert [trial.item for trial in trials] == [f"the_{s}/{n}" for s in ("cow", "fox") for n in range(6)]
    (context,) = trials[6].context
    assert context == (
        "The following are multiple choice questions (with answers) about the fox.\n\n"
        + "".join(
            f"{sentence(37 * number)}; the fox met {letter}\n{CHOICES}\nAnswer: {letter}\n\n"
            for number, letter in enumerate("ABCDA")
        )
        + f"{sentence(0)}; the fox met A\n{CHOICES}\nAnswer:"
    )
    assert trials[6].candidates == ("A", "B", "C", "D")
    assert trials[8].candidates == ("C", "A", "B", "D")


def test_a_heading_is_no_question(root):
    before = read(root)
    for path in root.rglob("*.csv"):
        path.write_text("question,A,B,C,D,answer\n" + path.read_text())
    assert read(root) == before


def test_a_bad_row_and_a_subject_without_examples_are_set_aside(root):
    (root / "mmlu/dev/the_cow_dev.csv").unlink()
    with open(root / "mmlu/test/the_fox_test.csv", "a", newline="") as file:
        csv.writer(file).writerows([["a", "b"], ["q", "1", "2", "3", "4", "E"]])
    found = [trial.fault for trial in read(root)]
    assert found == ["too_few_examples"] * 6 + [""] * 6 + ["bad_row"] * 2


def test_commas_and_newlines_of_questions_are_kept(root):
    with open(root / "mmlu/test/the_fox_test.csv", "a", newline="") as file:
        csv.writer(file).writerow(["x, y\nor z?", "1,5", "2", "3", "4", "D"])
    (context,) = read(root)[-1].context
    assert context.endswith("\n\nx, y\nor z?\nA. 1,5\nB. 2\nC. 3\nD. 4\nAnswer:")


def test_what_is_missing_is_named(root, tmp_path):
    for path in (root / "mmlu/test").glob("*.csv"):
        path.unlink()
    with pytest.raises(UserError, match="test: no csv files.*question, A, B, C, D, answer"):
        read(root)
