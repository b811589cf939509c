"""Log-probabilities of given continuations, many at a time. Shapes: B rows, T tokens a row.

Pairs are packed into rows of one width with segment ids, as in training: little padding, and one compiled
shape however many pairs.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.model.batch import Batch
from spirit_jax.model.llama import Llama
from spirit_jax.model.loss import token_nll

MIN_WIDTH = 256
MAX_TOKENS = 4096  # of one call
MAX_LOGITS = 2**25  # of one call: 128 MiB in float32

Pair = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scores:
    """Of n pairs: sums, float64 [n], of the targets' log-probabilities (nats), and lengths, int64 [n], of the
    targets in tokens.
    """

    sums: np.ndarray
    lengths: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Length-normalised log-likelihood, float64 [n]: the paper's score."""
        return self.sums / self.lengths


def score(llama: Llama, pairs: Sequence[Pair]) -> Scores:
    """Log-likelihood of each target after its prompt; see `log_probs`."""
    parts = log_probs(llama, pairs)
    return Scores(
        np.array([part.sum(dtype=np.float64) for part in parts]), np.array([len(part) for part in parts])
    )


def log_probs(llama: Llama, pairs: Sequence[Pair]) -> list[np.ndarray]:
    """For each (prompt ids, target ids), the log-probability of every target token given all before it:
    float32 [target length].

    Prompts and targets hold at least one id, else a UserError.
    """
    for prompt, target in pairs:
        if not len(prompt) or not len(target):
            raise UserError(
                "prompt and target lengths",
                (len(prompt), len(target)),
                "must both be above 0",
                "start the prompt with BOS",
            )
    sequences = [np.concatenate([prompt, target]).astype(np.int32) for prompt, target in pairs]
    # inputs: all but the last token
    lengths = np.array([len(sequence) - 1 for sequence in sequences], np.int64)
    width = row_width(int(lengths.max(initial=1)))
    height = max(1, min(MAX_TOKENS, MAX_LOGITS // llama.cfg.rows) // width)
    row_of, start_of, count = pack(lengths, width)
    rows = _fill(sequences, row_of, start_of, (-(-count // height) * height, width))
    scored = [
        np.asarray(_score_rows(llama, jax.tree.map(lambda x_BT, at=at: x_BT[at : at + height], rows)))
        for at in range(0, count, height)
    ]
    table_BT = np.concatenate(scored) if scored else np.zeros((0, width), np.float32)
    ends = start_of + lengths
    return [
        table_BT[row, end - len(target) : end]
        for row, end, (_, target) in zip(row_of, ends, pairs, strict=True)
    ]


def row_width(longest: int, least: int = MIN_WIDTH) -> int:
    """The smallest power of two times `least` that holds `longest`."""
    while least < longest:
        least *= 2
    return least


def pack(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """First fit, longest first: (row of each sequence, its start in the row, number of rows); lengths are at
    most `width`.
    """
    row_of, start_of, free = (
        np.zeros(len(lengths), np.int64),
        np.zeros(len(lengths), np.int64),
        np.full(len(lengths), width),
    )
    for i in np.argsort(-lengths, kind="stable"):
        row = int(np.argmax(free >= lengths[i]))
        row_of[i], start_of[i] = row, width - free[row]
        free[row] -= lengths[i]
    return row_of, start_of, int(row_of.max(initial=-1)) + 1


def _fill(
    sequences: list[np.ndarray], row_of: np.ndarray, start_of: np.ndarray, shape: tuple[int, int]
) -> Batch:
    tokens_BT, targets_BT, segments_BT, positions_BT = (np.zeros(shape, np.int32) for _ in range(4))
    for number, (sequence, row, start) in enumerate(zip(sequences, row_of, start_of, strict=True), 1):
        place = slice(start, start + len(sequence) - 1)
        tokens_BT[row, place], targets_BT[row, place] = sequence[:-1], sequence[1:]
        segments_BT[row, place], positions_BT[row, place] = number, np.arange(len(sequence) - 1)
    return Batch(tokens_BT, targets_BT, (segments_BT > 0).astype(np.float32), segments_BT, positions_BT)  # pyright: ignore[reportArgumentType]


@jax.jit
def _score_rows(llama: Llama, batch: Batch) -> jax.Array:
    return -token_nll(llama, batch)
