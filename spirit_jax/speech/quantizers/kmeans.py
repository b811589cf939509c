"""K-means in JAX and its use as a quantizer: nearest centroid, or the cheapest path when a change of code
costs something.

Legend: N points, D features, K codes, S steps of a block.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.kernels.product import product

BLOCK = 4096  # points a kernel call
MAX_ITERATIONS = 50
TOLERANCE = (
    1e-4  # stop when an iteration lowers the mean squared distance by less than this share; our choice
)
INIT_POINTS_PER_CODE = 40  # k-means++ chooses among this many points a code

INIT_TRIALS = 5  # candidates for each next code, of which the best is kept


def train_kmeans(x_ND: np.ndarray, codes: int, seed: int, iterations: int = MAX_ITERATIONS) -> np.ndarray:
    """Lloyd's k-means from a k-means++ start: float32 [codes, D], the same for the same points and seed.

    A code that loses its points takes over the point that is farthest from its own code. UserError if there
    are fewer points than codes.
    """
    if len(x_ND) < codes:
        raise UserError(
            "k-means points",
            len(x_ND),
            f"must be at least the number of codes, {codes}",
            "give more audio or ask for fewer codes",
        )
    rng = np.random.default_rng(seed)
    x_ND = np.asarray(x_ND, np.float32)
    some = rng.permutation(len(x_ND))[: INIT_POINTS_PER_CODE * codes]
    c_KD = _kmeans_plus_plus(x_ND[np.sort(some)], codes, jax.random.key(seed))
    x_BSD, valid_BS = map(jnp.asarray, _to_blocks(x_ND))
    before = np.inf
    for _ in range(iterations):
        c_KD, loss, count_K, square_BS = _lloyd_step(x_BSD, valid_BS, c_KD)
        if len(empty := np.flatnonzero(np.asarray(count_K) == 0)):
            farthest = np.argsort(-np.asarray(square_BS).reshape(-1), kind="stable")[: len(empty)]
            c_KD = c_KD.at[empty].set(x_ND[farthest])
        elif float(loss) >= (1 - TOLERANCE) * before:
            break
        before = float(loss)
    return np.asarray(c_KD)


def assign(x_ND: np.ndarray, c_KD: np.ndarray) -> np.ndarray:
    """The nearest centroid of each point: int32 [N]. A point's code does not depend on the other points."""
    return nearest(x_ND, c_KD)[0]


def nearest(x_ND: np.ndarray, c_KD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centroid of each point, int32 [N], and the squared distance to it, float32 [N]."""
    blocks = [_nearest(x_SD, c_KD) for x_SD in _to_blocks(x_ND)[0]]
    codes, squares = (
        np.concatenate([np.asarray(part) for part in parts])[: len(x_ND)] for parts in zip(*blocks)
    )
    return codes, squares


def assign_paths(sequences: Sequence[np.ndarray], c_KD: np.ndarray, change_cost: float) -> list[np.ndarray]:
    """For each sequence [n, D] the codes int32 [n] of least total squared distance, each change of code
    adding `change_cost`.

    An exact Viterbi search over all sequences, concatenated. A change between sequences is free, so each gets
    its own best path.
    """
    lengths = [len(sequence) for sequence in sequences]
    x_BSD, _ = _to_blocks(np.concatenate(sequences))
    price = np.full(x_BSD.shape[:2], change_cost, np.float32)
    price.reshape(-1)[np.cumsum([0, *lengths[:-1]])] = 0
    price.reshape(-1)[sum(lengths) :] = 0
    score_K = jnp.zeros(len(c_KD), jnp.float32)
    traces = []
    for x_SD, price_S in zip(x_BSD, price):
        score_K, trace = _viterbi_block(score_K, x_SD, price_S, c_KD)
        traces.append(trace)
    code, paths = jnp.argmin(score_K), []
    for trace in reversed(traces):
        code, path_S = _trace_back(code, *trace)
        paths.append(np.asarray(path_S))
    flat = np.concatenate(paths[::-1])[: sum(lengths)].astype(np.int32)
    return np.split(flat, np.cumsum(lengths[:-1]))


def _to_blocks(x_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points as [blocks, BLOCK, D], the last block filled with zeros, and which are points."""
    blocks = max(1, -(-len(x_ND) // BLOCK))
    x_BSD = np.zeros((blocks, BLOCK, x_ND.shape[1]), np.float32)
    x_BSD.reshape(blocks * BLOCK, -1)[: len(x_ND)] = x_ND
    return x_BSD, (np.arange(blocks * BLOCK) < len(x_ND)).reshape(blocks, BLOCK)


def _distances(x_SD: jax.Array, c_KD: jax.Array) -> jax.Array:
    """Squared distances less each point's own square: [S, K]; in full float32, because on an accelerator
    rounding would swap codes that are nearly as near.
    """
    return jnp.square(c_KD).sum(1)[None] - 2.0 * product(x_SD, c_KD.T)


@functools.partial(jax.jit, static_argnums=1)
def _kmeans_plus_plus(x_ND: jax.Array, codes: int, key: jax.Array) -> jax.Array:
    square_N = jnp.square(x_ND).sum(1)

    def choose(k, carry):
        c_KD, nearest_N, key = carry
        key, draw = jax.random.split(key)
        odds_N = jnp.cumsum(nearest_N)
        some_T = jnp.searchsorted(odds_N, odds_N[-1] * jax.random.uniform(draw, INIT_TRIALS))
        trial_TD = x_ND[jnp.minimum(some_T, len(x_ND) - 1)]
        d_TN = jnp.square(trial_TD).sum(1)[:, None] - 2.0 * (trial_TD @ x_ND.T) + square_N[None]
        left_TN = jnp.minimum(nearest_N[None], jnp.maximum(d_TN, 0.0))
        best = jnp.argmin(left_TN.sum(1))
        return c_KD.at[k].set(trial_TD[best]), left_TN[best], key

    start = (jnp.zeros((codes, x_ND.shape[1]), jnp.float32), jnp.full(len(x_ND), 1e10, jnp.float32), key)
    return jax.lax.fori_loop(0, codes, choose, start)[0]


@jax.jit
def _lloyd_step(
    x_BSD: jax.Array, valid_BS: jax.Array, c_KD: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """New centroids, the old ones' mean squared distance, the points of each code, and each point's squared
    distance.
    """
    codes = len(c_KD)

    def add_block(sums, block):
        x_SD, valid_S = block
        nearest_S, square_S = _nearest(x_SD, c_KD)
        weight_S = valid_S.astype(x_SD.dtype)
        total_KD, count_K, loss = sums
        total_KD = total_KD + jax.ops.segment_sum(x_SD * weight_S[:, None], nearest_S, codes)
        count_K = count_K + jax.ops.segment_sum(weight_S, nearest_S, codes)
        return (total_KD, count_K, loss + (square_S * weight_S).sum()), square_S * weight_S

    zero = (jnp.zeros_like(c_KD), jnp.zeros(codes, jnp.float32), jnp.float32(0))
    (total_KD, count_K, loss), square_BS = jax.lax.scan(add_block, zero, (x_BSD, valid_BS))
    mean_KD = jnp.where(count_K[:, None] > 0, total_KD / jnp.maximum(count_K, 1.0)[:, None], c_KD)
    return mean_KD, loss / count_K.sum(), count_K, square_BS


@jax.jit
def _nearest(x_SD: jax.Array, c_KD: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Code and squared distance. The minimum and then its index are much faster here than an argmin."""
    d_SK = _distances(x_SD, c_KD)
    least_S = d_SK.min(1)
    codes = jnp.arange(len(c_KD), dtype=jnp.int32)[None]
    # rounding can make the distance of a point on its centroid negative
    square_S = jnp.maximum(0, least_S + jnp.square(x_SD).sum(1))
    return jnp.where(d_SK == least_S[:, None], codes, len(c_KD) - 1).min(1), square_S


@jax.jit
def _viterbi_block(score_K: jax.Array, x_SD: jax.Array, price_S: jax.Array, c_KD: jax.Array):
    """Scores after the block, and for the way back: for each step whether a code stays, and the code that
    the others come from.
    """

    def step(score_K, frame):
        cost_K, price = frame
        score_K = score_K - score_K.min()
        stays_K = (score_K <= price) & (price > 0)
        return jnp.where(stays_K, score_K, price) + cost_K, (stays_K, jnp.argmin(score_K))

    return jax.lax.scan(step, score_K, (_distances(x_SD, c_KD), price_S))


@jax.jit
def _trace_back(code: jax.Array, stays_SK: jax.Array, source_S: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The codes of a block walked back from its last one, and the last code of the block before."""

    def step(code, came):
        stays_K, source = came
        return jnp.where(stays_K[code], code, source), code

    return jax.lax.scan(step, code, (stays_SK, source_S), reverse=True)
