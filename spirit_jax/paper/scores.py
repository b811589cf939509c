"""The scores of finished runs, item by item, put together over seeds.

Shapes: R runs (seeds) of an arm, N items, L layers with the embedding.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl
from spirit_jax.evals.metrics.intervals import Estimate, estimate_over_runs
from spirit_jax.paper.arm_runs import ArmRun


@dataclasses.dataclass(frozen=True)
class Counts:
    """Wins of comparisons, or errors of words: above_RN, of below_RN, float64, of the items by name."""

    items: tuple[str, ...]
    above_RN: np.ndarray
    below_RN: np.ndarray

    def estimate(self) -> Estimate:
        """The share, with an interval over seeds and items."""
        return estimate_over_runs(self.above_RN, self.below_RN)


@dataclasses.dataclass(frozen=True)
class Probe:
    """Cosines of spoken words with the same word in writing and with another, means of each record:
    same_RNL, other_RNL; words_RN: how many words they are of.
    """

    same_RNL: np.ndarray
    other_RNL: np.ndarray
    words_RN: np.ndarray

    def estimates(self, values_RNL: np.ndarray) -> list[Estimate]:
        """The mean over words of each layer."""
        sums_RNL = values_RNL * self.words_RN[:, :, None]
        layers = range(values_RNL.shape[2])
        return [estimate_over_runs(sums_RNL[:, :, layer], self.words_RN) for layer in layers]

    @property
    def embedded(self) -> Estimate:
        """How much the same word exceeds another one in the embedding."""
        return estimate_over_runs(self._gap_RNL[:, :, 0] * self.words_RN, self.words_RN)

    @property
    def best(self) -> Estimate:
        """How much it does after the layer where it does most."""
        return estimate_over_runs(self._best_RN * self.words_RN, self.words_RN)

    @property
    def rise(self) -> Estimate:
        """How much more it does there than in the embedding."""
        return estimate_over_runs((self._best_RN - self._gap_RNL[:, :, 0]) * self.words_RN, self.words_RN)

    @property
    def _gap_RNL(self) -> np.ndarray:
        return self.same_RNL - self.other_RNL

    @property
    def _best_RN(self) -> np.ndarray:
        gaps_L = (self._gap_RNL * self.words_RN[:, :, None]).sum(axis=(0, 1))
        return self._gap_RNL[:, :, int(gaps_L.argmax())]


def read_counts(runs: Sequence[ArmRun], name: str, task: str) -> Counts:
    """The scores of a task in the file of figures `name` of each run.

    UserError if the runs were asked different items.
    """
    rows = [_rows_by_item(run.folder / f"{name}_scores" / f"{task}.jsonl") for run in runs]
    items = _common_items(runs, rows, task)
    pairs_RN2 = np.array([[_count(one[item]) for item in items] for one in rows], np.float64)
    return Counts(items, pairs_RN2[:, :, 0], pairs_RN2[:, :, 1])


def read_probe(runs: Sequence[ArmRun], name: str) -> Probe:
    """The alignment probe of each run."""
    rows = [_rows_by_item(run.folder / f"{name}_scores" / "alignment.jsonl") for run in runs]
    items = _common_items(runs, rows, "alignment")
    same, other, words = (
        np.array([[one[item][key] for item in items] for one in rows], np.float64)
        for key in ("same", "other", "words")
    )
    return Probe(same, other, words)


def _rows_by_item(path: Path) -> dict[str, dict]:
    """Without what was set aside."""
    rows = {str(row.get("item", row.get("id"))): row for row in read_jsonl(path)}
    return {item: row for item, row in rows.items() if "set_aside" not in row}


def _common_items(runs: Sequence[ArmRun], rows: Sequence[dict[str, dict]], task: str) -> tuple[str, ...]:
    first = rows[0].keys()
    for run, one in zip(runs, rows):
        if one.keys() != first:
            rule = f"has other items of {task} than {runs[0].folder.name}"
            raise UserError("arm", run.folder, rule, "delete the folder; it is made again")
    return tuple(first)


def _count(row: dict) -> tuple[float, float]:
    """Of a comparison, or of a transcript."""
    return (row["errors"], row["words"]) if "errors" in row else (row["win"], 1.0)
