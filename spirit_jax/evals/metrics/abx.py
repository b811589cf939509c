"""ABX errors: of two realisations A and B of different phones, is X, of A's phone, nearer to B?

Realisations are compared within a context, the phones before and after. Within speakers all three are of one
speaker; across speakers A and B are of one and X is of another (Schatz et al. 2013). The error of a cell
(context, phones of A and B, speakers) is the share of its triples in which X is nearer to B; ties count half.
Errors are averaged over contexts and speakers of X, then over speakers of A and B, then over ordered pairs of
phones, as in ZeroSpeech's evaluation.
"""

import collections
import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spirit_jax.core.progress import Progress
from spirit_jax.evals.metrics.intervals import Estimate, estimate_ratio
from spirit_jax.evals.metrics.warping import warped_distances

MOST = 10  # realisations of a phone in a context by a speaker; as ZeroSpeech's evaluation takes
MOST_OTHERS = 5  # speakers of X for each cell's A and B; the same
AT_A_TIME = 2**17  # pairs of realisations


@dataclasses.dataclass(frozen=True)
class Said:
    """What one realisation is of. context: also of the data set's part."""

    phone: Hashable
    context: Hashable
    speaker: Hashable


@dataclasses.dataclass(frozen=True)
class Cell:
    """Numbers of realisations that are compared, int64 arrays. phones: those of A and B. speakers: of A and
    B, and of X.
    """

    phones: tuple
    context: Any
    speakers: tuple
    a: np.ndarray
    b: np.ndarray
    x: np.ndarray


def make_cells(said: Sequence[Said], across: bool, seed: int = 0) -> list[Cell]:
    """All cells, in a fixed order. `seed` draws MOST realisations where there are more, and MOST_OTHERS
    speakers of X.
    """
    rng = np.random.default_rng(seed)
    by_context: dict = {}
    for number, one in enumerate(said):
        phones = by_context.setdefault(one.context, {}).setdefault(one.speaker, {})
        phones.setdefault(one.phone, []).append(number)
    cells = []
    for context, speakers in by_context.items():
        known = {
            speaker: {phone: _draw(rng, np.array(numbers), MOST) for phone, numbers in phones.items()}
            for speaker, phones in speakers.items()
        }
        cells += list(_cells_across(rng, context, known) if across else _cells_within(context, known))
    return cells


def errors_of(sequences: Sequence[np.ndarray], cells: Sequence[Cell], title: str = "compare") -> np.ndarray:
    """The error of each cell, float64 [cells]. sequences: of each realisation; see `warped_distances`."""
    errors = []
    with Progress(title, len(cells), "cell") as progress:
        for some in _chunks(cells):
            errors += _errors_of_some(sequences, some)
            progress.advance(len(some))
    return np.array(errors)


def errors_by_phones(cells: Sequence[Cell], errors: np.ndarray) -> dict[tuple, float]:
    """The error of each ordered pair of phones: the mean over contexts and speakers of X, then over speakers
    of A and B.
    """
    by_speaker = _mean_by([(cell.phones, cell.speakers[0]) for cell in cells], errors)
    return _mean_by([phones for phones, _ in by_speaker], np.array(list(by_speaker.values())))


def estimate_error(by_phones: Mapping[tuple, float], seed: int = 0) -> Estimate:
    """The mean over ordered pairs of phones. Phones of A and X are resampled, each with all its pairs, since
    the distances between A and X are in all of these.
    """
    sums: dict = collections.defaultdict(lambda: [0.0, 0])
    for (phone, _), error in by_phones.items():
        sums[phone][0] += error
        sums[phone][1] += 1
    above, below = np.array(list(sums.values()), np.float64).reshape(-1, 2).T
    return estimate_ratio(above, below, seed)


def _cells_within(context: Hashable, known: dict) -> Iterator[Cell]:
    for speaker, phones in known.items():
        for a, b in _ordered_pairs(phones):
            if len(phones[a]) > 1:
                yield Cell((a, b), context, (speaker, speaker), phones[a], phones[b], phones[a])


def _cells_across(rng: np.random.Generator, context: Hashable, known: dict) -> Iterator[Cell]:
    for speaker, phones in known.items():
        for a, b in _ordered_pairs(phones):
            others = [other for other in known if other != speaker and a in known[other]]
            for i in np.sort(_draw(rng, np.arange(len(others)), MOST_OTHERS)):
                x = known[others[i]][a]
                yield Cell((a, b), context, (speaker, others[i]), phones[a], phones[b], x)


def _ordered_pairs(phones: dict) -> Iterator[tuple]:
    return ((a, b) for a in phones for b in phones if a != b)


def _draw(rng: np.random.Generator, numbers: np.ndarray, most: int) -> np.ndarray:
    return numbers if len(numbers) <= most else np.sort(rng.choice(numbers, most, replace=False))


def _chunks(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Cells that have about AT_A_TIME pairs of realisations together."""
    chunk, pairs = [], 0
    for cell in cells:
        chunk.append(cell)
        pairs += (len(cell.a) + len(cell.b)) * len(cell.x)
        if pairs >= AT_A_TIME:
            yield chunk
            chunk, pairs = [], 0
    if chunk:
        yield chunk


def _errors_of_some(sequences: Sequence[np.ndarray], cells: Sequence[Cell]) -> list[float]:
    """Each distance is computed once, whichever cells it is in."""
    used = np.unique(np.concatenate([side for cell in cells for side in (cell.a, cell.b, cell.x)]))
    keys = [
        np.minimum(side[:, None], x) * len(used) + np.maximum(side[:, None], x)
        for cell in cells
        for a, b, x in [[np.searchsorted(used, side) for side in (cell.a, cell.b, cell.x)]]
        for side in (a, b)
    ]
    distinct, places = np.unique(np.concatenate([key.ravel() for key in keys]), return_inverse=True)
    distances = warped_distances([sequences[i] for i in used], *np.divmod(distinct, len(used)))[places]
    ends = np.cumsum([key.size for key in keys])
    grids = [part.reshape(key.shape) for part, key in zip(np.split(distances, ends[:-1]), keys)]
    return [_error(cell, ax, bx) for cell, ax, bx in zip(cells, grids[::2], grids[1::2])]


def _error(cell: Cell, ax: np.ndarray, bx: np.ndarray) -> float:
    """Of the distances [A, X] and [B, X]. X is never A itself."""
    farther_AX = ((ax[:, None] > bx[None]) + 0.5 * (ax[:, None] == bx[None])).mean(axis=1)
    return float(farther_AX[cell.a[:, None] != cell.x].mean())


def _mean_by(keys: Sequence[Hashable], values: np.ndarray) -> dict:
    """The mean of the values of each distinct key, in order."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([numbers[key] for key in keys], np.int64)
    sums, counts = np.bincount(groups, values, len(numbers)), np.bincount(groups, minlength=len(numbers))
    return dict(zip(numbers, sums / np.maximum(counts, 1)))
