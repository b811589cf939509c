"""Runs an encoder on many wavs, padded to few lengths so that jit compiles few programs.

On a CPU a wav gives the same bits alone and in a batch. Where a call takes several rows, results differ by
rounding only.

Legend: B rows, S samples, T frames, D width.
"""

import collections
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from spirit_jax.core.batching import buckets, lengths_of, stack
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.kernels.choice import fastest

# in tiles, 6 to 100.8 s; above, multiples of the last: our choice, a fifth of padding at 2 to 20 s
PADDED_LENGTHS = (5, 9, 13, 17, 25, 34, 50, 67, 84)
IN_FLIGHT = 2  # calls that run while the next one is prepared


def encode_wavs(encoder: Wav2Vec2, wavs: Sequence[np.ndarray], last: int | None = None) -> list[np.ndarray]:
    """The output of layer `last` (1-based; None: of the whole encoder) for float32 wavs [samples]: float32
    [frame_count, D] for each.
    """
    encoder = fastest(encoder)
    cfg = encoder.cfg
    frames = [cfg.frame_count(len(wav)) for wav in wavs]
    outputs = [np.zeros((0, cfg.width), np.float32)] * len(wavs)
    pending = collections.deque()

    def collect() -> None:
        indices, states_BTD = pending.popleft()
        for index, state_TD in zip(indices, np.asarray(states_BTD)):
            outputs[index] = state_TD[: frames[index]].copy()

    filled = [index for index, count in enumerate(frames) if count]
    for tiles, count, places in buckets(
        [-(-frames[index] // cfg.tile) for index in filled], PADDED_LENGTHS[0], round_up_tiles
    ):
        indices = [filled[place] for place in places]
        rows = [wavs[index] for index in indices]
        wav_BS = stack(rows, cfg.most_samples(tiles * cfg.tile), count)
        pending.append((indices, layer_output(encoder, wav_BS, lengths_of(rows, count), last)))
        if len(pending) > IN_FLIGHT:
            collect()
    while pending:
        collect()
    return outputs


def round_up_tiles(count: int) -> int:
    """The padded length of `count` tiles."""
    return next(
        (length for length in PADDED_LENGTHS if length >= count),
        -(-count // PADDED_LENGTHS[-1]) * PADDED_LENGTHS[-1],
    )


@partial(jax.jit, static_argnames="last")
def layer_output(
    encoder: Wav2Vec2, wav_BS: jax.Array, counts_B: jax.Array, last: int | None = None
) -> jax.Array:
    """The output [B, T, D] of layer `last`, or of the whole encoder."""
    return encoder(wav_BS, counts_B, last)[-1]
