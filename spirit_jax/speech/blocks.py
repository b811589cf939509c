"""Many utterances through one compiled kernel: laid end to end and cut into equal blocks, so that jit
compiles once whatever the lengths.

A frame's value depends on its own samples only, so an utterance gives the same numbers alone and among
others. Legend: H hops of the whole stream, S samples of a hop, D features of a frame.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

BLOCK = 2048  # frames a kernel call; 20 s at 10 ms


def map_frames(
    kernel: Callable[[np.ndarray], jax.Array],
    wavs: Sequence[np.ndarray],
    counts: Sequence[int],
    hop: int,
    before: int,
    context: int,
) -> list[np.ndarray]:
    """Runs `kernel` ([BLOCK + context, hop] samples -> [BLOCK, D]) over all wavs; float32 [counts[i], D] for
    each.

    Frame j of a wav sees hops j to j + context of the wav preceded by `before` zeros; past the end there are
    zeros.
    """
    starts = np.cumsum([0, *(count + context for count in counts)])
    blocks = max(1, -(-int(starts[-1]) // BLOCK))
    stream_HS = np.zeros(((blocks * BLOCK + context), hop), np.float32)
    flat = stream_HS.reshape(-1)
    for wav, start, count in zip(wavs, starts, counts):
        room = (count + context) * hop - before
        flat[start * hop + before :][: min(len(wav), room)] = wav[:room]
    outputs = [kernel(stream_HS[b * BLOCK : (b + 1) * BLOCK + context]) for b in range(blocks)]
    frames_HD = np.concatenate([np.asarray(output) for output in outputs])
    return [frames_HD[start : start + count] for start, count in zip(starts, counts)]
