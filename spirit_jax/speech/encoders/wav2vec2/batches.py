"""Runs an encoder on many wavs, padded to few lengths so that jit compiles few programs.

On a CPU a wav gives the same bits alone and in a batch. Where a call takes several rows, results differ by
rounding only.

Legend: B rows, S samples, T frames, D width.
"""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from spirit_jax.core import device_rows
from spirit_jax.core.batching import Bucket, buckets, lengths_of, stack
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.kernels.choice import fastest

# in tiles, 6 to 100.8 s; above, multiples of the last: our choice, a fifth of padding at 2 to 20 s
PADDED_LENGTHS = (5, 9, 13, 17, 25, 34, 50, 67, 84)

memory = device_rows.Memory("speech encoder", "tiles")


def encode_wavs(encoder: Wav2Vec2, wavs: Sequence[np.ndarray], last: int | None = None) -> list[np.ndarray]:
    """The output of layer `last` (1-based; None: of the whole encoder) for float32 wavs [samples]: float32
    [frame_count, D] for each. All devices of this process take part.

    Raises JAX's error where a device's memory does not hold one wav.
    """
    encoder = fastest(encoder)
    cfg = encoder.cfg
    frames = [cfg.frame_count(len(wav)) for wav in wavs]
    outputs = [np.zeros((0, cfg.width), np.float32)] * len(wavs)
    filled = [index for index, count in enumerate(frames) if count]
    tiles = [-(-frames[index] // cfg.tile) for index in filled]
    devices = jax.local_device_count()

    def run(call: Bucket) -> jax.Array:
        rows = [wavs[filled[place]] for place in call.indices]
        divided = len(rows) > call.rows
        count = call.rows * (devices if divided else 1)
        arrays = stack(rows, cfg.most_samples(call.size * cfg.tile), count), lengths_of(rows, count)
        if not divided:
            return layer_output(encoder, *arrays, last)
        network = device_rows.on_every_device(encoder)
        return layer_output(network, *device_rows.divide_rows(*arrays), last, divided=True)

    calls = buckets(tiles, PADDED_LENGTHS[0], round_up_tiles, devices, memory.most_rows)
    for call, states_BTD in device_rows.Calls(run, memory, devices).results(calls):
        for place, state_TD in zip(call.indices, states_BTD):
            outputs[filled[place]] = state_TD[: frames[filled[place]]].copy()
    return outputs


def round_up_tiles(count: int) -> int:
    """The padded length of `count` tiles."""
    return next(
        (length for length in PADDED_LENGTHS if length >= count),
        -(-count // PADDED_LENGTHS[-1]) * PADDED_LENGTHS[-1],
    )


@partial(jax.jit, static_argnames=("last", "divided"))
def layer_output(
    encoder: Wav2Vec2, wav_BS: jax.Array, counts_B: jax.Array, last: int | None = None, divided: bool = False
) -> jax.Array:
    """The output [B, T, D] of layer `last`, or of the whole encoder. divided: rows are divided among the
    devices.
    """

    def run(encoder: Wav2Vec2, wav_BS: jax.Array, counts_B: jax.Array) -> jax.Array:
        return encoder(wav_BS, counts_B, last)[-1]

    return (device_rows.each_on_its_rows(run) if divided else run)(encoder, wav_BS, counts_B)
