"""Log-probabilities of given continuations, many at a time. Shapes: B rows, T slots a row, N picked slots.

Pairs that begin alike share that beginning, which is read once (`trees`): the four answers to a question, and
the questions behind one list of examples. Trees are packed into rows of one width: little padding, and few
compiled shapes for any number of pairs. Logits are computed for targets only.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.batching import round_up_doubling
from spirit_jax.core.errors import UserError
from spirit_jax.model.batch import Batch
from spirit_jax.model.llama import Llama, flops_per_token
from spirit_jax.model.loss import token_nll
from spirit_jax.scoring.trees import Tree, fill_rows, grow_trees, pack_trees, starts_of
from spirit_jax.sharding import mesh_sizes, use_mesh_of

MIN_WIDTH = 256
MAX_TOKENS = 4096  # in one call, of a device
WIDTHS = (1, 2, 4)  # of rows that are tried, as multiples of the least
WIDER = 0.05  # the share of the work that wider rows must save: attention reads more of them
PICKED = 1 / 8  # of a row: the least number of slots whose logits are computed

Pair = tuple[np.ndarray, np.ndarray]  # ids of a prompt, ids of its target


@dataclasses.dataclass(frozen=True)
class Reading:
    """What it took to score pairs. tokens: of all pairs, each read alone. filled, slots: of the rows that
    were read, the slots with tokens and all slots.
    """

    tokens: int = 0
    filled: int = 0
    slots: int = 0

    @property
    def padding(self) -> float:
        """The share of the slots without a token."""
        return 1 - self.filled / max(self.slots, 1) if self.slots else 0.0

    @property
    def shared(self) -> float:
        """The share of the tokens that was not read again."""
        return 1 - self.filled / self.tokens if self.tokens else 0.0


@dataclasses.dataclass(frozen=True)
class Scores:
    """Log-likelihoods of n targets.

    sums: of the log-probabilities of a target's tokens in nats, float64 [n]. lengths: in tokens, int64 [n].
    """

    sums: np.ndarray
    lengths: np.ndarray
    reading: Reading = Reading()

    @property
    def means(self) -> np.ndarray:
        """Length-normalised log-likelihood, float64 [n]: the paper's score."""
        return self.sums / self.lengths


def score(llama: Llama, pairs: Sequence[Pair]) -> Scores:
    """Log-likelihood of each target after its prompt; see `log_probs`."""
    parts, reading = _read(llama, pairs)
    sums = np.array([part.sum(dtype=np.float64) for part in parts])
    return Scores(sums, np.array([len(part) for part in parts]), reading)


def log_probs(llama: Llama, pairs: Sequence[Pair]) -> list[np.ndarray]:
    """For each pair, the log-probability in nats of every target token given all tokens before it: float32
    [target length].

    Raises a UserError for an empty prompt or target.
    """
    return _read(llama, pairs)[0]


def _read(llama: Llama, pairs: Sequence[Pair]) -> tuple[list[np.ndarray], Reading]:
    for prompt, target in pairs:
        if not len(prompt) or not len(target):
            raise UserError(
                "prompt and target lengths",
                (len(prompt), len(target)),
                "must both be above 0",
                "start the prompt with BOS",
            )
    sequences = [np.concatenate(pair).astype(np.int32) for pair in pairs]
    found, slots = [np.zeros(0, np.float32)] * len(pairs), 0
    with use_mesh_of(llama):
        rows, width = _arrange(sequences, llama.cfg)
        wanted = [_wanted(row, pairs) for row in rows]
        branched = any(len(tree.slots) > 1 for row in rows for tree in row)
        picked = _count_picked(wanted, width)
        for first, height in _calls(len(rows), width):
            called = rows[first : first + height]
            batch = fill_rows(called, sequences, height, width, branched)
            slots_BN = _pick(wanted[first : first + height], height, picked)
            log_probs_BN = np.asarray(_score_slots(llama, batch, slots_BN))
            slots += height * width
            for row, log_probs_N in zip(wanted[first : first + height], log_probs_BN):
                known = _distinct(row)
                for number, at in row.items():
                    found[number] = log_probs_N[np.searchsorted(known, at)]
    filled = sum(tree.size for row in rows for tree in row)
    return found, Reading(sum(len(ids) - 1 for ids in sequences), filled, slots)


def _arrange(sequences: Sequence[np.ndarray], cfg: ModelConfig) -> tuple[list[list[Tree]], int]:
    """Rows of trees and their width: the least that holds the longest sequence, or a multiple of it. In wider
    rows there is less padding, and a beginning is read less often that many sequences share.
    """
    least = round_up_doubling(max((len(ids) - 1 for ids in sequences), default=1), MIN_WIDTH)
    chosen, width, cost = [], least, math.inf
    for wider in (least * times for times in WIDTHS if times == 1 or least * times <= MAX_TOKENS):
        rows = pack_trees(grow_trees(sequences, wider), wider)
        slots = sum(height * wider for _, height in _calls(len(rows), wider))
        if (work := slots * flops_per_token(cfg, wider)) < (1 - WIDER) * cost:
            chosen, width, cost = rows, wider, work
    return chosen, width


def _wanted(row: Sequence[Tree], pairs: Sequence[Pair]) -> dict[int, np.ndarray]:
    """The slots of a row that predict a pair's target, by the pair's number."""
    return {
        number: start + slots[len(pairs[number][0]) - 1 :]
        for start, tree in zip(starts_of(row), row)
        for number, slots in tree.slots.items()
    }


def _distinct(wanted: dict[int, np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(list(wanted.values())))


def _count_picked(wanted: Sequence[dict[int, np.ndarray]], width: int) -> int:
    """N: a power of two times the least number, so that few shapes are compiled."""
    most = max((len(_distinct(row)) for row in wanted), default=1)
    return round_up_doubling(most, int(PICKED * width))


def _pick(wanted: Sequence[dict[int, np.ndarray]], height: int, picked: int) -> np.ndarray:
    """int32 [height, picked]: slots in order; what is left over picks slot 0."""
    slots_BN = np.zeros((height, picked), np.int32)
    for row, slots in enumerate(map(_distinct, wanted)):
        slots_BN[row, : len(slots)] = slots
    return slots_BN


def _calls(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """The first row of each call and its height: as many as a call may have, at the end a power of two of
    rows that is enough.
    """
    parts = mesh_sizes()["data"] * mesh_sizes()["fsdp"]
    most, first = max(1, MAX_TOKENS // width), 0
    while first < rows:
        left = math.ceil((rows - first) / parts)
        height = parts * min(most, round_up_doubling(left, 1))
        yield first, height
        first += height


@jax.jit
def _score_slots(llama: Llama, batch: Batch, slots_BN: np.ndarray) -> jax.Array:
    return -token_nll(llama, batch, slots_BN)
