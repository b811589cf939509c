"""MMLU: a csv file for each subject in `dev/` and `test/`; its columns are question, A, B, C, D, answer."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from spirit_jax.evals.layouts.tables import read_cells
from spirit_jax.evals.layouts.trials import Place, Trial, require_usable

LETTERS = "ABCD"
SHOTS = 5  # as in the paper
PLACE = Place(
    ("mmlu", "data", "."),
    "{dev,test}/SUBJECT_{dev,test}.csv with question, A, B, C, D, answer",
    "https://people.eecs.berkeley.edu/~hendrycks/data.tar",
)


@dataclasses.dataclass(frozen=True)
class Subjects:
    """A trial for each question: the letter of its answer after five answered questions of its subject."""

    place: Place = PLACE
    needs_speech: bool = False
    has_splits: bool = False

    def read(self, root: Path, split: str) -> list[Trial]:
        """Trials by subject. Questions are those of `test/`, examples the first five of `dev/`."""
        folder = self.place.find(root)
        for name in ("dev", "test"):
            if not any((folder / name).glob("*.csv")):
                raise self.place.missing(folder / name, "no csv files")
        trials = [
            trial for path in sorted((folder / "test").glob("*.csv")) for trial in _read_subject(folder, path)
        ]
        return require_usable(trials, self.place, folder, ())


def _read_subject(folder: Path, path: Path) -> Iterator[Trial]:
    subject = path.stem.removesuffix("_test")
    shots_path = next(
        (p for name in (f"{subject}_dev", subject) if (p := _dev(folder, name)).is_file()), None
    )
    shots = [row for row in _read_rows(shots_path) if not _fault(row)] if shots_path else []
    spelled = subject.replace("_", " ")
    head = f"The following are multiple choice questions (with answers) about {spelled}.\n\n"
    head += "".join(f"{_ask(row)} {row[-1].strip()}\n\n" for row in shots[:SHOTS])
    for number, row in enumerate(_read_rows(path)):
        item, labels = f"{subject}/{number}", {"subject": subject}
        detail = _fault(row)
        if detail or len(shots) < SHOTS:
            fault = "bad_row" if detail else "too_few_examples"
            detail = detail or f"{len(shots)} in dev/, must be {SHOTS}"
            yield Trial(item, labels=labels, fault=fault, detail=detail)
        else:
            answer = row[-1].strip()
            letters = (answer, *(letter for letter in LETTERS if letter != answer))
            yield Trial(item, letters, (head + _ask(row),), labels)


def _dev(folder: Path, name: str) -> Path:
    return folder / "dev" / f"{name}.csv"


def _ask(row: list[str]) -> str:
    choices = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, row[1:5]))
    return f"{row[0]}{choices}\nAnswer:"


def _fault(row: list[str]) -> str:
    """What is wrong with a row, "" if nothing."""
    if len(row) != 6:
        return f"{len(row)} columns, must be 6"
    return "" if row[-1].strip() in tuple(LETTERS) else f"the answer is {row[-1]!r}, not a letter from A to D"


def _read_rows(path: Path) -> list[list[str]]:
    """Rows of a file without its heading, if it has one."""
    rows = [cells for _, cells in read_cells(path)]
    headed = rows and rows[0][1:5] == list(LETTERS) and rows[0][0].lower() == "question"
    return rows[1:] if headed else rows
