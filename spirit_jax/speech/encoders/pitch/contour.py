"""What is done to an F0 track (Hz, 0 where unvoiced) before it is coded: filling the unvoiced frames,
subtracting the mean.
"""

import warnings

import numpy as np


def interpolate(f0_F: np.ndarray, fill_ends: bool = True) -> np.ndarray:
    """The track with unvoiced frames (0) on a straight line between their voiced neighbours, and the ends
    held if `fill_ends`, else 0.

    A track with fewer than two voiced frames comes back as it is [B]. float64 [F].
    """
    f0_F = np.asarray(f0_F, np.float64)
    voiced = np.flatnonzero(f0_F)
    if len(voiced) < 2:
        return f0_F.copy()
    ends = {} if fill_ends else {"left": 0.0, "right": 0.0}
    return np.interp(np.arange(len(f0_F)), voiced, f0_F[voiced], **ends)


def subtract_mean(f0_F: np.ndarray, vuv_F: np.ndarray, mean: float | None = None) -> np.ndarray:
    """The track less `mean` (a speaker's), by default the mean of its own voiced frames; frames of 0 Hz stay
    0.

    A track with Hz but no voiced frame has no mean and becomes NaN, as in the published release; one that is
    0 throughout stays 0.
    """
    if mean is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
            mean = f0_F[np.asarray(vuv_F, bool)].mean()
    return np.where(f0_F == 0, 0, f0_F - np.asarray(mean, f0_F.dtype)).astype(f0_F.dtype)
