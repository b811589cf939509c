"""What all rows together must be, checked before the expensive work: ids, splits, sentences in two splits."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.shards.contents import Contents
from spirit_jax.core.errors import UserError
from spirit_jax.core.progress import track
from spirit_jax.datasets.corpus import find_repeated
from spirit_jax.datasets.splits import TRAINING_SPLITS, sentence_of


@dataclasses.dataclass(frozen=True)
class Survey:
    """splits: their names. repeated: `SPLIT/ID` of rows whose id an earlier one has.

    leaked: how many rows for training have a sentence of a held-out split.
    """

    splits: Sequence[str]
    repeated: Sequence[str]
    leaked: int


def survey_rows(contents: Contents) -> Survey:
    """Reads all rows, twice if some are held out. Keeps 8 bytes a row, and hashes of held-out sentences."""
    splits, held = set(), set()

    def keys() -> Iterator[str]:
        for row in track(contents.rows(), "check", unit="rows"):
            splits.add(row["split"])
            if row["split"] not in TRAINING_SPLITS:
                held.add(sentence_of(row))
            yield key_of(row["split"], row["id"])

    repeated = find_repeated(keys)
    held -= {None}
    training = (row for row in contents.rows() if row["split"] in TRAINING_SPLITS) if held else ()
    leaked = sum(sentence_of(row) in held for row in track(training, "sentences", unit="rows"))
    return Survey(sorted(splits), repeated, leaked)


def key_of(split: str, id: str) -> str:
    """Names a row of all splits."""
    return f"{split}/{id}"


def check_survey(survey: Survey, out: Path) -> None:
    """UserError if there are no rows, or two of a split have one id. A warning if sentences leak."""
    if not survey.splits:
        raise UserError("shards", out, "would have no rows", "give units or texts with rows")
    if survey.repeated:
        split, _, id = survey.repeated[0].partition("/")
        rule = f"names two rows of split {split}; {len(survey.repeated):,} ids do so"
        raise UserError("id", id, rule, "rename them, or leave out what is given twice")
    if survey.leaked:
        says = "rows for training have a sentence that is also held out"
        fix = "python -m data_prep split leaves none of those that it holds out in training"
        print(f"warning: {survey.leaked:,} {says}; {fix}", file=sys.stderr)
