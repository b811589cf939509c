"""F0 frame error: how well resynthesised speech keeps the melody."""

import numpy as np

GROSS = 0.2  # an error of F0, as a share of the true F0: the usual definition


def count_frame_errors(reference_F: np.ndarray, other_F: np.ndarray) -> tuple[int, int]:
    """Frames with a voicing error or a gross error of F0, and all frames.

    Tracks in Hz, 0 where unvoiced. The longer one is cut.
    """
    frames = min(len(reference_F), len(other_F))
    reference_F, other_F = reference_F[:frames], other_F[:frames]
    voiced, other_voiced = reference_F > 0, other_F > 0
    gross = voiced & other_voiced & (np.abs(other_F - reference_F) > GROSS * reference_F)
    return int(((voiced != other_voiced) | gross).sum()), frames
