"""Distances between sequences of different lengths, by dynamic time warping.

B pairs, T and U frames of the two sequences, D features, K anti-diagonals.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.batching import round_up_length

SHORTEST = 8  # frames that sequences are padded to at least
PAIRS = 256  # of a call
CELLS = 2**22  # of a call: 16 MB of costs


def warped_distances(
    sequences: Sequence[np.ndarray], first_P: np.ndarray, second_P: np.ndarray
) -> np.ndarray:
    """The distance of each pair of sequences, by their numbers: float32 [P].

    Sequences: float [T, D], T above 0, whose frames differ by their angle as a share of pi; or integers [T],
    whose frames differ by 0 or 1. The distance is the mean over the frames of the cheapest path from start to
    end, by steps of one frame in either or both sequences. Of equally cheap paths a frame is reached by one
    that steps in both, else by the shortest, so a distance is the same both ways.
    """
    lengths = np.array([len(one) for one in sequences], np.int32)
    starts = np.cumsum(lengths) - lengths
    frames = _normalise(np.concatenate(list(sequences)))
    longest_P = np.maximum(lengths[first_P], lengths[second_P])
    sizes, size_of = np.unique(longest_P, return_inverse=True)
    padded_P = np.array([max(SHORTEST, round_up_length(int(size))) for size in sizes])[size_of]
    found_P = np.zeros(len(first_P), np.float32)
    for size in np.unique(padded_P).tolist():
        rows, left = max(1, min(PAIRS, CELLS // size**2)), np.flatnonzero(padded_P == size)
        for begin in range(0, len(left), rows):
            called = left[begin : begin + rows]
            filled = np.resize(called, rows)  # the last call repeats some
            sides = [
                (frames[_slots(starts[side], size, len(frames))], lengths[side])
                for side in (first_P[filled], second_P[filled])
            ]
            found_P[called] = np.asarray(_warp(*sides[0], *sides[1]))[: len(called)]
    return found_P


def _normalise(frames: np.ndarray) -> np.ndarray:
    """Integers as int32, and features as float32 of length 1."""
    if frames.ndim == 1:
        return frames.astype(np.int32)
    norms = np.linalg.norm(frames, axis=1, keepdims=True)
    return (frames / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)


def _slots(starts_B: np.ndarray, size: int, frames: int) -> np.ndarray:
    """Indices of the frames of each sequence [B, size]; those past its end are any frame's."""
    return np.minimum(starts_B[:, None] + np.arange(size), frames - 1)


@jax.jit
def _warp(first: jax.Array, lengths_B: jax.Array, second: jax.Array, others_B: jax.Array) -> jax.Array:
    """[B] distances of padded sequences."""
    costs_KBT = _by_diagonal(_costs(first, second))
    rows, size = costs_KBT.shape[1:]
    nowhere = jnp.full((rows, size), jnp.inf), jnp.zeros((rows, size))

    def step(carry, costs_BT):
        last, last_but_one, entry = carry
        up, both = _shift(last), _shift(last_but_one)
        reached = _cheapest(_cheapest(up, last), both, prefer_second=True)
        reached = jnp.where(entry, 0.0, reached[0]), jnp.where(entry, 0.0, reached[1])
        now = reached[0] + costs_BT, reached[1] + 1.0
        return (now, last, jnp.zeros_like(entry)), now[0] / now[1]

    entry = jnp.zeros((rows, size), bool).at[:, 0].set(True)
    _, means_KBT = jax.lax.scan(step, (nowhere, nowhere, entry), costs_KBT)
    return means_KBT[lengths_B + others_B - 2, jnp.arange(rows), lengths_B - 1]


def _costs(first: jax.Array, second: jax.Array) -> jax.Array:
    """[B, T, U]: how much each two frames differ."""
    if first.ndim == 2:
        return (first[:, :, None] != second[:, None, :]).astype(jnp.float32)
    cosines = jnp.einsum("BTD,BUD->BTU", first, second, precision=jax.lax.Precision.HIGHEST)
    return jnp.arccos(jnp.clip(cosines, -1.0, 1.0)) / jnp.pi


def _by_diagonal(costs_BTU: jax.Array) -> jax.Array:
    """[K, B, T]: element (k, b, t) is that of (b, t, k - t), infinite where there is none."""
    size = costs_BTU.shape[1]
    others_KT = jnp.arange(2 * size - 1)[:, None] - jnp.arange(size)[None]
    costs_BKT = costs_BTU[:, jnp.arange(size)[None], jnp.clip(others_KT, 0, size - 1)]
    known_KT = (others_KT >= 0) & (others_KT < size)
    return jnp.where(known_KT[None], costs_BKT, jnp.inf).swapaxes(0, 1)


def _shift(path: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Costs and lengths of paths to frame t - 1 of the first sequence."""
    costs_BT, lengths_BT = path
    first = ((0, 0), (1, 0))
    return jnp.pad(costs_BT[:, :-1], first, constant_values=jnp.inf), jnp.pad(lengths_BT[:, :-1], first)


def _cheapest(one, other, prefer_second: bool = False):
    """The cheaper of two paths, among equal ones the shorter, or with `prefer_second` the other."""
    equal = (other[0] == one[0]) & (prefer_second | (other[1] < one[1]))
    second = (other[0] < one[0]) | equal
    return jnp.where(second, other[0], one[0]), jnp.where(second, other[1], one[1])
