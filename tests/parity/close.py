"""How near an array must be to the golden one."""

import numpy as np

TOLERANCE = 2e-4  # of the golden array's largest magnitude


def assert_close(array: np.ndarray, expected: np.ndarray, what: str, tolerance: float = TOLERANCE) -> None:
    """Equal shapes, and no element off by more than `tolerance` of the largest expected one."""
    array, expected = np.asarray(array), np.asarray(expected)
    assert array.shape == expected.shape, f"{what}: shape {array.shape}, expected {expected.shape}"
    error, largest = (np.abs(values).max(initial=0) for values in (array - expected, expected))
    assert error <= tolerance * largest, (
        f"{what}: error {error:.1e}, allowed {tolerance:.0e} of the largest value, {largest:.1e}"
    )


def assert_row(units_T: np.ndarray, released_T: np.ndarray, classes_T: np.ndarray, blank: int) -> None:
    """A row's units are those of the published release from its first class on that isn't blank; before it,
    that one fills from another row.
    """
    first = np.argmax(classes_T != blank) if (classes_T != blank).any() else len(classes_T)
    np.testing.assert_array_equal(units_T[first:], released_T[first:])
