"""Curves of the alignment probe for several checkpoints."""

import pytest

from spirit_jax.core.files import write_json
from spirit_jax.evals.results import to_json
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.report.alignment_curves import draw_alignment
from tests.evals.folders import spirit


def result(same, other):
    details = {"same": same, "other": other, "layer": 1, "words": 9}
    return Result(max(same), (0.0, 1.0), 3, ResultKind.SIMILARITY, details)


BEFORE, AFTER = result([0.1, 0.2, 0.2], [0.1, 0.2, 0.1]), result([0.1, 0.6, 0.4], [0.1, 0.2, 0.1])


def test_each_checkpoint_has_a_solid_and_a_dashed_curve():
    (axes,) = draw_alignment({"before": BEFORE, "after": AFTER}).axes
    assert [list(line.get_ydata()) for line in axes.lines[::2]] == [[0.1, 0.2, 0.2], [0.1, 0.6, 0.4]]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"] * 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["before", "after"]


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_command_writes_one_picture(tmp_path, suffix):
    for name, one in (("before", BEFORE), ("after", AFTER)):
        write_json(tmp_path / f"{name}.json", {"tasks": {"alignment": to_json(one)}})
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    assert spirit("plot-alignment", *files, "--out", tmp_path / f"curves{suffix}") == 0
    assert (tmp_path / f"curves{suffix}").stat().st_size > 1000


def test_mistakes_are_one_line(tmp_path, capsys):
    write_json(tmp_path / "other.json", {"tasks": {}})
    for name, out in (("other.json", "a.svg"), ("other.json", "a.gif"), ("none.json", "a.svg")):
        words = (tmp_path / name, "--out", tmp_path / out)
        assert spirit("plot-alignment", *words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "a.svg").exists()
