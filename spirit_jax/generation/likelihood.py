"""Log-probabilities of given continuations, many at a time. Shapes: B rows, T tokens a row.

Pairs are packed into rows of one width with segment ids, as in training: little padding, and one compiled
shape for any number of pairs.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from spirit_jax.core.batching import pack, round_up_doubling
from spirit_jax.core.errors import UserError
from spirit_jax.model.batch import Batch, make_batch
from spirit_jax.model.llama import Llama
from spirit_jax.model.loss import token_nll
from spirit_jax.sharding import mesh_sizes, use_mesh_of

MIN_WIDTH = 256
MAX_TOKENS = 4096  # in one call, of a device
MAX_LOGITS = 2**25  # in one call, of a device: 128 MiB in float32

Pair = tuple[np.ndarray, np.ndarray]  # ids of a prompt, ids of its target


@dataclasses.dataclass(frozen=True)
class Scores:
    """Log-likelihoods of n targets.

    sums: of the log-probabilities of a target's tokens in nats, float64 [n]. lengths: in tokens, int64 [n].
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
    """For each pair, the log-probability in nats of every target token given all tokens before it: float32
    [target length].

    Raises a UserError for an empty prompt or target.
    """
    for prompt, target in pairs:
        if not len(prompt) or not len(target):
            raise UserError(
                "prompt and target lengths",
                (len(prompt), len(target)),
                "must both be above 0",
                "start the prompt with BOS",
            )
    chunks = [(number, np.concatenate(pair).astype(np.int32)) for number, pair in enumerate(pairs)]
    width = round_up_doubling(max((len(ids) - 1 for _, ids in chunks), default=1), MIN_WIDTH)
    rows, found = pack(chunks, width), [np.zeros(0, np.float32)] * len(pairs)
    for row, log_probs_T in zip(rows, _score_all(llama, rows, width)):
        ends = np.cumsum([len(ids) - 1 for _, ids in row])
        for (number, _), end in zip(row, ends):
            found[number] = log_probs_T[end - len(pairs[number][1]) : end]
    return found


def _score_all(
    llama: Llama, rows: Sequence[Sequence[tuple[int, np.ndarray]]], width: int
) -> list[np.ndarray]:
    """For each row, the log-probability of its tokens after the first: float32 [width]."""
    found: list[np.ndarray] = []
    with use_mesh_of(llama):
        height = max(1, min(MAX_TOKENS, MAX_LOGITS // llama.cfg.rows) // width)
        height *= mesh_sizes()["data"] * mesh_sizes()["fsdp"]
        for first in range(0, len(rows), height):
            called = [[ids for _, ids in row] for row in rows[first : first + height]]
            found.extend(np.asarray(_score_rows(llama, make_batch(called, height, width))))
    return found


@jax.jit
def _score_rows(llama: Llama, batch: Batch) -> jax.Array:
    return -token_nll(llama, batch)
