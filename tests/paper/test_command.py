"""The command makes what is not finished, then the page."""

import pytest

from spirit_jax.paper import command
from spirit_jax.paper.arm_runs import plan_runs
from tests.evals.folders import spirit
from tests.paper.arms import RECIPE, make_experiment
from tests.paper.finished import write_corpus, write_run

EXPERIMENT = make_experiment("interleaved", "pairs")


@pytest.fixture
def made(monkeypatch):
    """Names of the runs that the command made."""
    names = []

    def make_run(experiment, run, root):
        write_run(run, 0.7, 0.4)
        names.append(run.folder.name)

    monkeypatch.setattr(command, "make_run", make_run)
    return names


def paper(root, *more):
    words = ("--config", RECIPE, "--root", root, "--page", root / "docs/paper.md")
    return spirit("paper", *words, "--arms", "interleaved", "pairs", *more)


def test_only_what_is_not_finished_is_made(tmp_path, made):
    write_corpus(tmp_path / "corpus/manifest.jsonl")
    write_run(plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)[0], 0.9, 0.1)
    assert paper(tmp_path, "--set", "seeds=[0,1]") == 0
    assert made == ["pairs-0", "interleaved-1", "pairs-1"]
    page = (tmp_path / "docs/paper.md").read_text()
    assert "--set 'seeds=[0,1]'" in page
    assert {path.name for path in (tmp_path / "docs/paper").iterdir()} == {"choice.svg", "alignment.svg"}
    (tmp_path / "docs/paper/remarks.md").write_text("Seen.")
    assert paper(tmp_path, "--set", "seeds=[0,1]") == 0
    assert len(made) == 3
    assert "## Remarks\n\nSeen." in (tmp_path / "docs/paper.md").read_text()


def test_mistakes_are_one_line(tmp_path, made, capsys):
    words = ("--config", RECIPE, "--root", tmp_path)
    for more, complaint in (
        (("--page", tmp_path / "a.html"), "--page"),
        (("--page", tmp_path / "a.md", "--arms", "both"), "--arms = both"),
        (("--page", tmp_path / "a.md", "--set", "run.train.stepz=1"), "run.train.stepz"),
    ):
        assert spirit("paper", *words, *more) == 2
        assert complaint in capsys.readouterr().err
    assert made == []
