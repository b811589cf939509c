"""Linear discriminant analysis (Fisher 1936; Rao 1948): the directions in which classes differ most.

Legend: N points, D features, P directions, C classes.
"""

import numpy as np
import scipy.linalg

SHRINKAGE = 0.01  # share of a spherical scatter in that within classes, so that it has an inverse; our choice


def fit_discriminant(x_ND: np.ndarray, class_N: np.ndarray, directions: int) -> np.ndarray:
    """Directions, float32 [D, P], in which points of a class have unit variance, those that separate classes
    best first. directions: less than there are classes.
    """
    points_ND = x_ND.astype(np.float64)
    points_ND -= points_ND.mean(axis=0)
    _, class_N, count_C = np.unique(class_N, return_inverse=True, return_counts=True)
    sum_CD = np.zeros((len(count_C), points_ND.shape[1]))
    np.add.at(sum_CD, class_N, points_ND)
    between_DD = (sum_CD / count_C[:, None]).T @ sum_CD / len(points_ND)
    within_DD = points_ND.T @ points_ND / len(points_ND) - between_DD
    size = len(within_DD)
    within_DD = (1 - SHRINKAGE) * within_DD + SHRINKAGE * np.trace(within_DD) / size * np.eye(size)
    _, vector_DP = scipy.linalg.eigh(between_DD, within_DD, subset_by_index=(size - directions, size - 1))
    return np.ascontiguousarray(vector_DP[:, ::-1], np.float32)
