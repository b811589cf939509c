"""Many wavs through one encoder: rows padded to few lengths, so that jit compiles seldom.

A wav gives the same bits alone and among others on a CPU; where several rows go in a call the difference is
in rounding only.

Legend: B rows, S samples, T frames, C channels, D width, N rows of a matrix.
"""

import collections
import weakref
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from spirit_jax.core.batching import buckets, lengths_of, stack
from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.kernels.wav2vec2_forms import fast_form

# padded lengths, 6 to 100.8 s; above, multiples of the last: a choice, a fifth of padding at 2-20 s
TILES = (5, 9, 13, 17, 25, 34, 50, 67, 84)
HF_EPS = 1e-7  # under the root when a waveform is normalised, in transformers
IN_FLIGHT = 2  # calls that wait while the next one is prepared

# made once of each encoder
_fast: weakref.WeakKeyDictionary[Wav2Vec2, Wav2Vec2] = weakref.WeakKeyDictionary()


def encode(encoder: Wav2Vec2, wavs: Sequence[np.ndarray], last: int | None = None) -> list[np.ndarray]:
    """The output of layer `last` (1-based; None: of the whole encoder) for float32 wavs [samples]: float32
    [frame_count, D] for each.
    """
    if encoder not in _fast:
        _fast[encoder] = fast_form(encoder)
    encoder = _fast[encoder]
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
        [-(-frames[index] // cfg.tile) for index in filled], TILES[0], round_up_tiles
    ):
        indices = [filled[place] for place in places]
        rows = [wavs[index] for index in indices]
        wav_BS = stack(rows, cfg.most_samples(tiles * cfg.tile), count)
        pending.append((indices, last_state(encoder, wav_BS, lengths_of(rows, count), last)))
        if len(pending) > IN_FLIGHT:
            collect()
    while pending:
        collect()
    return outputs


def round_up_tiles(count: int) -> int:
    """The padded length of so many tiles."""
    return next((length for length in TILES if length >= count), -(-count // TILES[-1]) * TILES[-1])


def mix_down(wav: np.ndarray) -> np.ndarray:
    """Mono float32 [S] of float [S] or [C, S]. UserError for whole numbers, whose scale nobody knows, and for
    other shapes, [S, C] among them.
    """
    wav = np.asarray(wav)
    if wav.ndim not in (1, 2) or wav.ndim == 2 and (not len(wav) or len(wav) > wav.shape[1] > 0):
        raise UserError(
            "wav",
            wav.shape,
            "must be [samples] or [channels, samples]",
            "pass a list with one array for each utterance",
        )
    if not jax.numpy.issubdtype(wav.dtype, jax.numpy.floating):
        raise UserError("wav", wav.dtype, "must be float, from -1 to 1", "divide 16-bit samples by 32768")
    return wav.mean(axis=0, dtype=np.float32) if wav.ndim == 2 else wav.astype(np.float32, copy=False)


def normalize(wav_S: np.ndarray, eps: float) -> np.ndarray:
    """Zero mean and unit variance over the utterance."""
    if not len(wav_S):
        return wav_S
    mean, variance = np.mean(wav_S, dtype=np.float64), np.var(wav_S, dtype=np.float64)
    return ((wav_S - mean) / np.sqrt(variance + eps)).astype(np.float32)


@partial(jax.jit, static_argnames="last")
def last_state(
    encoder: Wav2Vec2, wav_BS: jax.Array, counts_B: jax.Array, last: int | None = None
) -> jax.Array:
    """The output [B, T, D] of layer `last`, or of the whole encoder."""
    return encoder(wav_BS, counts_B, last)[-1]
