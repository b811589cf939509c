"""Counts of a curation, and the rows nearest to the limits."""

import collections
import dataclasses
import heapq
from collections.abc import Mapping, Sequence

from data_prep.curation.config import CurationConfig
from data_prep.curation.judge import Verdict
from data_prep.curation.scores import SCORES, Entry
from spirit_jax.core.settings import to_dict
from spirit_jax.datasets.corpus import count_reasons
from spirit_jax.pages.histogram import Histogram

QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)


class Borderline:
    """The rows nearest to a limit on one side of it, the nearest first."""

    def __init__(self, most: int):
        self._most = most
        self._heap: list[tuple[float, int, Entry, Verdict]] = []
        self._seen = 0

    def add(self, entry: Entry, verdict: Verdict) -> None:
        """Takes a row; one without a distance is left out."""
        if verdict.distance is None:
            return
        self._seen += 1
        heapq.heappush(self._heap, (-abs(verdict.distance), -self._seen, entry, verdict))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def rows(self) -> list[tuple[Entry, Verdict]]:
        """The rows, the nearest first."""
        return [
            (entry, verdict) for _, _, entry, verdict in sorted(self._heap, reverse=True, key=lambda x: x[:2])
        ]


@dataclasses.dataclass
class Tally:
    """Utterances and hours by what became of them. Rows without sound count as `texts`."""

    worst_kept: Borderline
    best_rejected: Borderline
    texts: int = 0
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    seconds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def see(self, entry: Entry, verdict: Verdict) -> None:
        """Counts a row; a rejected one by its first reason, and by each."""
        if entry.row["audio"] is None and verdict.kept:
            self.texts += 1
            return
        became = "kept" if verdict.kept else verdict.faults[0].reason
        self.counts[became] += 1
        self.seconds[became] += entry.measured.seconds if entry.measured else 0.0
        self.reasons.update(fault.reason for fault in verdict.faults)
        (self.worst_kept if verdict.kept else self.best_rejected).add(entry, verdict)

    def summary(
        self, config: CurationConfig, histograms: Mapping[str, Histogram], set_aside: Sequence[Mapping]
    ) -> dict:
        """Plain JSON values. reasons: the first of each rejected row, which add up; all_reasons: each."""
        broken = count_reasons(set_aside)
        reasons = collections.Counter(self.counts)
        del reasons["kept"]
        reasons.update(broken)
        hours = {reason: round(self.seconds[reason] / 3600, 6) for reason, _ in reasons.most_common()}
        return {
            "n_kept": self.counts["kept"],
            "n_texts": self.texts,
            "n_quarantined": reasons.total(),
            "hours_kept": round(self.seconds["kept"] / 3600, 6),
            "hours_quarantined": round(sum(hours.values()), 6),
            "reasons": dict(reasons.most_common()),
            "hours_by_reason": hours,
            "all_reasons": dict((self.reasons + collections.Counter(broken)).most_common()),
            "scores": {name: _describe(histograms[name]) for name in SCORES},
            "config": to_dict(config),
        }


def _describe(histogram: Histogram) -> dict:
    quantiles = {f"{share:.0%}": round(histogram.quantile(share), 4) for share in QUANTILES}
    return {"n": histogram.count, **(quantiles if histogram.count else {})}
