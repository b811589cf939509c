"""K-means over a stream of points, with the memory of one batch (Sculley 2010), and restarts of codes
that lost their points.

Legend: N points, D features, K codes.
"""

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.quantizers.kmeans import INIT_POINTS_PER_CODE, nearest, train_kmeans

USAGE_MEMORY = 0.9  # of a code's share of the points, by batch; our choice
DEAD = 0.02  # a code with a smaller fraction of the mean share is restarted; our choice


class StreamingKmeans:
    """Centres that each new batch updates: a centre is the mean of all points that were nearest to it when
    they were added.

    first_KD: the initial centres, drawn by k-means++ from the first batch. The result is the same for the
    same points in the same order and the same seed.
    """

    def __init__(self, codes: int, seed: int):
        self.codes, self.rng, self.seed = codes, np.random.default_rng(seed), seed
        self.first_KD = self.centers_KD = np.zeros((0, 0), np.float32)
        self.points = self.restarts = 0
        self._waiting: list[np.ndarray] = []

    @property
    def batch(self) -> int:
        """Points of a batch."""
        return INIT_POINTS_PER_CODE * self.codes

    def add(self, x_ND: np.ndarray) -> None:
        """Adds points; those that do not fill a batch are buffered."""
        self._waiting.append(np.asarray(x_ND, np.float32))
        if sum(map(len, self._waiting)) < self.batch:
            return
        waiting_ND = np.concatenate(self._waiting)
        whole = len(waiting_ND) // self.batch * self.batch
        for start in range(0, whole, self.batch):
            self._learn(waiting_ND[start : start + self.batch])
        self._waiting = [waiting_ND[whole:]]

    def finish(self) -> np.ndarray:
        """The centres, float32 [K, D], after the buffered points. UserError if there were fewer
        points than codes.
        """
        rest_ND = np.concatenate(self._waiting) if self._waiting else np.zeros((0, 0), np.float32)
        self._waiting = []
        if len(rest_ND) or not self.points:
            self._learn(rest_ND)
        return self.centers_KD

    def _learn(self, x_ND: np.ndarray) -> None:
        if not self.points:
            self._start(x_ND)
        codes_N, square_N = nearest(x_ND, self.centers_KD)
        count_K = np.bincount(codes_N, minlength=self.codes)
        sum_KD = np.zeros((self.codes, x_ND.shape[1]))
        np.add.at(sum_KD, codes_N, x_ND)
        self.count_K += count_K
        step_KD = (sum_KD - count_K[:, None] * self.centers_KD) / np.maximum(self.count_K, 1)[:, None]
        self.centers_KD = (self.centers_KD + step_KD).astype(np.float32)
        self.points += len(x_ND)
        self.share_K = USAGE_MEMORY * self.share_K + (1 - USAGE_MEMORY) * count_K / len(x_ND)
        self._restart(x_ND, square_N)

    def _start(self, x_ND: np.ndarray) -> None:
        """K-means++ on the first batch."""
        if len(x_ND) < self.codes:
            raise UserError(
                "k-means points",
                len(x_ND),
                f"must be at least the number of codes, {self.codes}",
                "give more audio",
            )
        self.first_KD = self.centers_KD = train_kmeans(x_ND, self.codes, self.seed, iterations=0)
        self.count_K = np.zeros(self.codes)
        self.share_K = np.full(self.codes, 1 / self.codes)

    def _restart(self, x_ND: np.ndarray, square_N: np.ndarray) -> None:
        """Moves codes that lost their points to points of the batch, drawn with probability proportional to
        their squared distance.
        """
        dead = np.flatnonzero(self.share_K < DEAD / self.codes)
        if not len(dead) or np.count_nonzero(square_N) < len(dead):
            return
        drawn = self.rng.choice(
            len(x_ND), len(dead), replace=False, p=square_N / square_N.sum(dtype=np.float64)
        )
        self.centers_KD[dead] = x_ND[drawn]
        self.count_K[dead], self.share_K[dead] = 1, 1 / self.codes
        self.restarts += len(dead)
