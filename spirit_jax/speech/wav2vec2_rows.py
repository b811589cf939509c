"""Many wavs through one encoder: rows padded to few lengths, so that jit compiles seldom.

The length that a wav is padded to depends on that wav alone, so on a CPU, where rows go one by one, it gives the same bits alone and among others;
with several rows a call the difference is in rounding only.

Legend: B rows, S samples, T frames, C channels, D width, N rows of a matrix.
"""

import collections
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.errors import UserError
from spirit_jax.speech.wav2vec2 import Wav2Vec2

TILES = (
    5,
    10,
    15,
    20,
    30,
    40,
    60,
    80,
    100,
)  # padded lengths in tiles (seconds); above, whole multiples of the last. A choice: 14 % padding at 2-20 s
TILES_A_CALL = 400  # on an accelerator: rows of 5 s go by 80, of 100 s by 4; a choice
HF_EPS = 1e-7  # under the root when a waveform is normalised, in transformers
IN_FLIGHT = 2  # calls that wait while the next one is prepared


def encode(encoder: Wav2Vec2, wavs: Sequence[np.ndarray], last: int | None = None) -> list[np.ndarray]:
    """The output of layer `last` (1-based; None: of the whole encoder) for float32 wavs [samples]: float32 [frame_count, D] for each."""
    cfg = encoder.cfg
    frames = [cfg.frame_count(len(wav)) for wav in wavs]
    outputs = [np.zeros((0, cfg.width), np.float32)] * len(wavs)
    pending = collections.deque()

    def collect() -> None:
        rows, states_BTD = pending.popleft()
        for row, state_TD in zip(rows, np.asarray(states_BTD)):
            outputs[row] = state_TD[: frames[row]].copy()

    for rows, tiles, size in _calls([-(-count // cfg.tile) for count in frames]):
        wav_BS = np.zeros((size, cfg.sample_count(tiles * cfg.tile)), np.float32)
        counts_B = np.zeros(size, np.int32)
        for place, row in enumerate(rows):
            counts_B[place] = min(len(wavs[row]), wav_BS.shape[1])
            wav_BS[place, : counts_B[place]] = wavs[row][: counts_B[place]]
        pending.append((rows, last_state(encoder, jnp.asarray(wav_BS), jnp.asarray(counts_B), last)))
        if len(pending) > IN_FLIGHT:
            collect()
    while pending:
        collect()
    return outputs


def mix_down(wav: np.ndarray) -> np.ndarray:
    """Mono float32 [S] of [S] or [C, S]."""
    wav = np.asarray(wav, np.float32)
    if wav.ndim not in (1, 2):
        raise UserError("wav", wav.shape, "must be [samples] or [channels, samples]", "pass a list with one array for each utterance")
    return wav.mean(axis=0) if wav.ndim == 2 else wav


def normalize(wav_S: np.ndarray, eps: float) -> np.ndarray:
    """Zero mean and unit variance over the utterance."""
    if not len(wav_S):
        return wav_S
    mean, variance = np.mean(wav_S, dtype=np.float64), np.var(wav_S, dtype=np.float64)
    return ((wav_S - mean) / np.sqrt(variance + eps)).astype(np.float32)


def map_blocks(kernel: Callable[[np.ndarray], jax.Array], parts: Sequence[np.ndarray], block: int) -> list[np.ndarray]:
    """Runs `kernel` ([block, D] -> [block, ...]) over the rows of all parts [N, D] laid end to end, the last block filled up: one compilation."""
    if not parts:
        return []
    ends = np.cumsum([len(part_ND) for part_ND in parts])
    padded_ND = np.pad(np.concatenate(parts), ((0, -ends[-1] % block or block * (ends[-1] == 0)), (0, 0)))
    outputs = [kernel(padded_ND[i : i + block]) for i in range(0, len(padded_ND), block)]
    return np.split(np.concatenate([np.asarray(output) for output in outputs])[: ends[-1]], ends[:-1])


@partial(jax.jit, static_argnames="last")
def last_state(encoder: Wav2Vec2, wav_BS: jax.Array, counts_B: jax.Array, last: int | None = None) -> jax.Array:
    """The output [B, T, D] of layer `last`, or of the whole encoder, in full float32 on every kind of device."""
    with jax.default_matmul_precision("highest"):
        return encoder(wav_BS, counts_B, last)[-1]


def _calls(tiles: Sequence[int]) -> list[tuple[list[int], int, int]]:
    """(rows, padded length in tiles, rows of the array) of each call; rows of equal padded length go together."""
    by_length = collections.defaultdict(list)
    for row, count in enumerate(tiles):
        if count:
            by_length[next((length for length in TILES if length >= count), -(-count // TILES[-1]) * TILES[-1])].append(row)
    calls = []
    for length, rows in sorted(by_length.items()):
        size = 1 if jax.default_backend() == "cpu" else max(1, TILES_A_CALL // length)
        calls += [(rows[i : i + size], length, size) for i in range(0, len(rows), size)]
    return calls
