"""The likeliest path of a text through a CTC network's emissions.

Graves et al. 2006: between the tokens of a text, and before and after it, a path may stay in a blank; a blank
may be left out, except between equal tokens.

Long recordings need little memory: the scores are kept for every `BLOCK`-th frame only, and the steps between
are computed again, block by block, on the way back.

Legend: B rows, T frames, K blocks of N frames, V vocabulary, L tokens, S = 2 L + 1 states: blank, token,
blank, ..., blank.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.batching import lengths_of, round_up_length, stack

IMPOSSIBLE = -1e30
ROWS = 16  # utterances of a call
BLOCK = 256  # frames
CELLS = 1 << 27  # frames x states x rows of a call at most, where it has more than one row
SHORTEST = 64  # states; fewer are padded


def align_batch(
    emissions: Sequence[np.ndarray], tokens: Sequence[np.ndarray], blank: int
) -> list[np.ndarray | None]:
    """For each utterance the state of each frame, int32 [T]: 2 i + 1 is token i, even ones are blanks.

    emissions: log-probabilities [T, V]. tokens: ids [L]. None where the frames are too few for the tokens.
    """
    paths: list[np.ndarray | None] = [None] * len(emissions)
    shapes: dict[tuple[int, int], list[int]] = {}
    for index, (e_TV, tokens_L) in enumerate(zip(emissions, tokens)):
        if len(e_TV) >= least_frames(tokens_L):
            shape = _round_up(len(e_TV), BLOCK), _round_up(2 * len(tokens_L) + 1, SHORTEST)
            shapes.setdefault(shape, []).append(index)
    for (frames, states), members in shapes.items():
        rows = max(1, min(ROWS, CELLS // (frames * states)))
        for start in range(0, len(members), rows):
            chosen = members[start : start + rows]
            batch = [emissions[i] for i in chosen]
            names = [_with_blanks(tokens[i], blank) for i in chosen]
            arrays = stack(batch, frames, rows), stack(names, states, rows)
            states_BT = best_paths(*arrays, lengths_of(batch, rows), lengths_of(names, rows), blank)
            for index, path_T, e_TV in zip(chosen, np.asarray(states_BT), batch):
                paths[index] = path_T[: len(e_TV)]
    return paths


def least_frames(tokens_L: np.ndarray) -> int:
    """Frames that a path through the tokens needs: one each, and a blank between equal ones."""
    return max(1, len(tokens_L) + int((tokens_L[1:] == tokens_L[:-1]).sum()))


@partial(jax.jit, static_argnames="blank")
def best_paths(
    emissions_BTV: jax.Array, states_BS: jax.Array, frames_B: jax.Array, counts_B: jax.Array, blank: int
) -> jax.Array:
    """The state of each frame on the likeliest path, int32 [B, T], T a multiple of BLOCK; past a row's
    `frames_B` it is the last state.

    states_BS: the id of each state's token, `counts_B` of them.
    """
    B, T = emissions_BTV.shape[:2]
    step = partial(_step, states_BS, _may_skip(states_BS, blank), frames_B)
    index_S = jnp.arange(states_BS.shape[1])
    start_BS = jnp.broadcast_to(jnp.where(index_S == 0, 0.0, IMPOSSIBLE)[None], states_BS.shape)
    emissions_TBV = emissions_BTV.swapaxes(0, 1)
    frames = jax.tree.map(lambda x: x.reshape(-1, BLOCK, *x.shape[1:]), (jnp.arange(T), emissions_TBV))

    def forward(best_BS, block):
        best_BS = best_BS - best_BS.max(axis=1, keepdims=True)  # so that sums over hours stay exact
        return jax.lax.scan(lambda best, frame: (step(best, frame)[0], None), best_BS, block)[0], best_BS

    def backward(state_B, inputs):
        best_BS, block = inputs
        _, moves_NBS = jax.lax.scan(step, best_BS, block)
        return jax.lax.scan(_trace, state_B, moves_NBS, reverse=True)

    best_BS, starts_KBS = jax.lax.scan(forward, start_BS, frames)
    last_2B = jnp.stack([counts_B - 1, jnp.maximum(counts_B - 2, 0)])
    ends_2B = jnp.take_along_axis(best_BS, last_2B.T, axis=1).T
    state_B = jnp.where(ends_2B[0] >= ends_2B[1], last_2B[0], last_2B[1])
    _, states_KNB = jax.lax.scan(backward, state_B, (starts_KBS, frames), reverse=True)
    return states_KNB.reshape(T, B).T


def _step(
    states_BS: jax.Array, skips_BS: jax.Array, frames_B: jax.Array, best_BS: jax.Array, frame: tuple
) -> tuple[jax.Array, jax.Array]:
    """The best scores after one more frame, and how many states each path advanced: 0, 1 or 2."""
    t, emission_BV = frame
    one_BS = jnp.pad(best_BS, ((0, 0), (1, 0)), constant_values=IMPOSSIBLE)[:, :-1]
    two_BS = jnp.pad(best_BS, ((0, 0), (2, 0)), constant_values=IMPOSSIBLE)[:, :-2]
    two_BS = jnp.where(skips_BS, two_BS, IMPOSSIBLE)
    near_BS = jnp.maximum(best_BS, one_BS)
    new_BS = jnp.maximum(near_BS, two_BS) + jnp.take_along_axis(emission_BV, states_BS, axis=1)
    moves_BS = jnp.where(two_BS > near_BS, 2, jnp.where(one_BS > best_BS, 1, 0)).astype(jnp.uint8)
    inside_B1 = (t < frames_B)[:, None]
    return jnp.where(inside_B1, new_BS, best_BS), jnp.where(inside_B1, moves_BS, 0).astype(jnp.uint8)


def _trace(state_B: jax.Array, moves_BS: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The state of the frame before, and that of this frame."""
    moved_B = jnp.take_along_axis(moves_BS, state_B[:, None], axis=1)[:, 0]
    return state_B - moved_B.astype(jnp.int32), state_B


def _may_skip(states_BS: jax.Array, blank: int) -> jax.Array:
    """Whether a path may enter a state from the last but one: a token that differs from the token before."""
    before_BS = jnp.pad(states_BS, ((0, 0), (2, 0)), constant_values=blank)[:, :-2]
    return (states_BS != blank) & (states_BS != before_BS)


def _with_blanks(tokens_L: np.ndarray, blank: int) -> np.ndarray:
    states_S = np.full(2 * len(tokens_L) + 1, blank, np.int32)
    states_S[1::2] = tokens_L
    return states_S


def _round_up(length: int, multiple: int) -> int:
    """Few lengths, each a multiple."""
    return round_up_length(-(-length // multiple)) * multiple
