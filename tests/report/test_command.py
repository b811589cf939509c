"""The report from folders on disk, as a user makes it."""

import json

import pytest

from spirit_jax.core.files import write_jsonl
from tests.evals.folders import spirit, write_folders
from tests.generation.world import sentence
from tests.report.test_numbers import ROWS


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A run folder, its shards and its evaluation."""
    root = tmp_path_factory.mktemp("report")
    write_folders(root)
    write_jsonl(root / "run" / "metrics.jsonl", ROWS)
    (root / "decoder").mkdir()
    write_jsonl(root / "decoder" / "metrics.jsonl", [{"step": 7, "held_out_frames": 0.625}])
    words = [
        "--checkpoint",
        root / "run",
        "--shards",
        root / "shards",
        "--tasks",
        "loss,choice_s2t,choice_t2s",
    ]
    assert spirit("eval", *words, "--out", root / "eval.json") == 0
    return root


def report(at, evaluation, out) -> int:
    words = ["--run", at / "run", "--eval-before", evaluation, "--eval-after", evaluation]
    words += ["--shards", at / "shards", "--examples", 0, "--title", "tiny & small", "--out", out]
    words += ["--decoder", at / "decoder"]
    return spirit("report", *words)


def test_a_run_has_a_page_and_its_numbers(at):
    assert report(at, at / "eval.json", at / "out") == 0
    numbers = json.loads((at / "out" / "report.json").read_text())
    choice = json.loads((at / "eval.json").read_text())["tasks"]["choice_s2t"]
    assert numbers["choice_s2t_accuracy"] == numbers["choice_s2t_accuracy_before"] == choice["value"]
    assert (numbers["n_pairs"], numbers["steps"]) == (24, 20)
    assert numbers["decoder"] == {"steps": 7, "frames": 0.625}
    page = (at / "out" / "report.html").read_text()
    assert "<h1>tiny &amp; small</h1>" in page
    assert '<td>frames</td><td class="number">0.625</td>' in page
    assert any(sentence(number * 37) in page for number in range(8))


def test_a_run_of_text_alone_has_a_report_too(at):
    words = ["--checkpoint", at / "text", "--shards", at / "shards", "--out", at / "text.json"]
    assert spirit("eval", *words) == 0
    write_jsonl(at / "text" / "metrics.jsonl", ROWS)
    words = ["--run", at / "text", "--eval-before", at / "text.json", "--eval-after", at / "text.json"]
    assert spirit("report", *words, "--shards", at / "shards", "--out", at / "text_out") == 0
    numbers = json.loads((at / "text_out" / "report.json").read_text())
    assert numbers["choice_s2t_accuracy"] is None
    assert numbers["choice_t2t_accuracy"] is not None
    assert numbers["loss_by_modality"].keys() == {"text"}
    assert "not measured: the model is text-only" in (at / "text_out" / "report.html").read_text()


def test_an_evaluation_written_before_results_had_a_kind_gives_the_same_report(at):
    old = json.loads((at / "eval.json").read_text())
    for values in old["tasks"].values():
        del values["kind"]
    for key in ("value", "low", "high", "n"):
        del old["tasks"]["loss"][key]
    (at / "old.json").write_text(json.dumps(old))
    assert report(at, at / "eval.json", at / "new_out") == report(at, at / "old.json", at / "old_out") == 0
    for name in ("report.json", "report.html"):
        assert (at / "new_out" / name).read_text() == (at / "old_out" / name).read_text()


def test_an_evaluation_that_is_none_is_one_line(at, capsys):
    words = [
        "--run",
        at / "run",
        "--eval-after",
        at / "run/config.json",
        "--shards",
        at / "shards",
        "--out",
        at / "none",
    ]
    assert spirit("report", *words) == 2
    assert "config.json: has no tasks" in capsys.readouterr().err
    assert not (at / "none").exists()
