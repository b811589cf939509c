"""Results beside the paper's figures."""

from spirit_jax.evals.registry import TASKS
from spirit_jax.evals.results_tables import COLUMNS, PAPER, make_rows, write_tables
from spirit_jax.evals.task import Result, ResultKind

CHOICE = Result(
    0.9, (0.8, 1.0), 5, ResultKind.ACCURACY, {"pairs": 20, "paper": {"base": 0.69, "expressive": 0.65}}
)
ERRORS = Result(
    0.3, (0.2, 0.4), 7, ResultKind.WORD_ERROR_RATE, {"original": 0.1, "paper": {"original": 0.162}}
)
PERPLEXITY = Result(3.0, (2.0, 4.0), 8, ResultKind.PERPLEXITY, {"original": {"value": 1.5}})
NOTHING = Result(None, None, 0, ResultKind.LOSS, {"not_measured": "the model is text-only"})
RESULTS = {"swuggy": CHOICE, "resynthesis_wer": ERRORS, "gen_ppl_s2t": PERPLEXITY, "of old": NOTHING}


def test_a_row_has_the_value_and_the_papers_figures():
    rows = [dict(zip([*COLUMNS, *PAPER.values()], row, strict=True)) for row in make_rows(RESULTS)]
    assert rows[0] == {
        "task": "swuggy",
        "title": TASKS["swuggy"].title,
        "value": "0.900",
        "95 %": "0.800 – 1.000",
        "of": "20 pairs, 5 items",
        "chance": "0.500",
        "original": "",
        "paper: Base": "0.690",
        "paper: Expressive": "0.650",
        "paper: original": "",
    }
    assert (rows[1]["original"], rows[1]["paper: original"], rows[1]["paper: Base"]) == ("0.100", "0.162", "")
    assert rows[2]["original"] == "1.500"
    assert (rows[3]["title"], rows[3]["value"], rows[3]["95 %"]) == ("", "", "")
    assert rows[3]["of"] == "not measured: the model is text-only"


def test_the_table_is_markdown_and_a_page(tmp_path):
    write_tables(tmp_path / "scores", "runs/<mine>", RESULTS)
    heading, _, columns, _, first, *_ = (tmp_path / "scores/results.md").read_text().splitlines()
    assert heading == "# runs/<mine>"
    assert columns.split(" | ")[-1] == "paper: original |"
    assert first.startswith("| `swuggy` | sWUGGY | 0.900 | 0.800 – 1.000 | 20 pairs, 5 items | 0.500 |")
    page = (tmp_path / "scores/results.html").read_text()
    assert "runs/&lt;mine&gt;" in page
    assert page.count("<tr>") == 1 + len(RESULTS)
    assert "http" not in page.split("</style>")[1]
