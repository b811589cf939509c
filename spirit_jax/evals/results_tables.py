"""Results beside the paper's figures, as Markdown and as an HTML page."""

from collections.abc import Mapping
from pathlib import Path

from spirit_jax.core.files import write_text
from spirit_jax.evals.registry import TASKS
from spirit_jax.evals.task import Result
from spirit_jax.pages import rendering

TEMPLATE = Path(__file__).with_name("results.html")
COLUMNS = ("task", "title", "value", "95 %", "of", "chance", "original")
PAPER = {"base": "paper: Base", "expressive": "paper: Expressive", "original": "paper: original"}


def make_rows(results: Mapping[str, Result]) -> list[list[str]]:
    """A row of cells for each task, "" for what there is not.

    Of: what was measured, or why nothing was. Original: the same measure of what was resynthesised or
    continued.
    """
    return [_row(name, result) for name, result in results.items()]


def write_tables(folder: Path, model: str, results: Mapping[str, Result]) -> None:
    """Writes `results.md` and `results.html`. model: its folder, for the heading."""
    columns, rows = [*COLUMNS, *PAPER.values()], make_rows(results)
    lines = [columns, ["---"] * len(columns), *([f"`{task}`", *cells] for task, *cells in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    write_text(folder / "results.md", f"# {model}\n\n{table}\n")
    html = rendering.render(TEMPLATE, {"title": model, "columns": columns, "rows": rows})
    write_text(folder / "results.html", html)


def _row(name: str, result: Result) -> list[str]:
    paper, original = result.details.get("paper") or {}, result.details.get("original")
    return [
        name,
        TASKS[name].title if name in TASKS else "",
        _number(result.value),
        " – ".join(map(_number, result.interval or ())),
        result.extent,
        _number(result.chance),
        _number(original["value"] if isinstance(original, Mapping) else original),
        *(_number(paper.get(key)) for key in PAPER),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
