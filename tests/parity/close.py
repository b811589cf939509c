"""How near a dense array must be to the golden one."""

import numpy as np

TOLERANCE = 2e-4  # of the golden array's largest magnitude


def assert_close(array: np.ndarray, expected: np.ndarray, what: str, tolerance: float = TOLERANCE) -> None:
    """Equal shapes, and no element off by more than `tolerance` of the largest expected one."""
    array, expected = np.asarray(array), np.asarray(expected)
    assert array.shape == expected.shape, f"{what}: shape {array.shape}, expected {expected.shape}"
    error = np.abs(array - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{what}: error {error:.1e} of the largest value, allowed {tolerance:.0e}"
