"""Which rows are kept: limits of the scores, and duplicates.

A score's distance to its limit is counted in spreads of the corpus, half the distance between the
quartiles, so that the distances of different scores can be compared.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Set

from data_prep.curation.config import CurationConfig
from data_prep.curation.scores import SCORES, Entry, Measured, key_of
from data_prep.curation.sound import NEAR_SECONDS, are_near
from spirit_jax.pages.histogram import Histogram


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why a row is rejected. reason: a slug for counting. detail: a sentence. distance: beyond the limit, in
    spreads; None where there is no limit to be near to.
    """

    reason: str
    detail: str
    distance: float | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """faults: none for a row that is kept. distance: of a kept row to the nearest limit, of a rejected one
    beyond the farthest, in spreads; None if no limit applies, or something else is wrong with it.
    """

    faults: tuple[Fault, ...]
    distance: float | None

    @property
    def kept(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


class Judge:
    """Judges rows one after another: of duplicates the first that is otherwise good is kept.

    repeated: keys of ids, texts and sounds that more than one row has; only these are remembered.
    """

    def __init__(
        self, config: CurationConfig, histograms: Mapping[str, Histogram], repeated: Set[str] = frozenset()
    ):
        self._config, self._repeated = config, repeated
        self._spreads = {name: histogram.spread for name, histogram in histograms.items()}
        self._ids: set[str] = set()
        self._sounds: dict[str, str] = {}  # the id of the row that was kept, by the key
        self._outlines: dict[tuple[str, int], list[Measured]] = collections.defaultdict(list)
        self._times_said: collections.Counter[tuple[str, str]] = collections.Counter()  # by text and voice

    def judge(self, entry: Entry) -> Verdict:
        """The verdict on a row; a row that is kept is remembered. Rows without sound have no scores: they are
        kept.
        """
        if (key := key_of(entry.row["id"])) in self._repeated:
            if key in self._ids:
                return Verdict((Fault("duplicate_id", "an earlier row has its id"),), None)
            self._ids.add(key)
        if entry.unusable:
            return Verdict((Fault(*entry.unusable),), None)
        return self._weigh(entry.measured) if entry.measured else Verdict((), None)

    def _weigh(self, measured: Measured) -> Verdict:
        distances, faults = [], []
        for name, value in measured.scores.items():
            if value is None:
                continue
            for fault_name, limit, distance in self._compare(name, value):
                distances.append(distance)
                if distance < 0:
                    faults.append(_describe(fault_name, name, value, limit, distance))
        if self._config.needs_words and not measured.timed:
            faults.append(Fault("no_words", "it has no word times"))
        if not faults:
            faults += self._find_duplicates(measured)
        if not faults:
            self._remember(measured)
        nearest = None if any(fault.distance is None for fault in faults) else min(distances, default=None)
        return Verdict(tuple(faults), nearest)

    def _compare(self, name: str, value: float) -> Iterator[tuple[str, float, float]]:
        """Reason, limit and distance for each limit of a score; distances beyond it are negative."""
        limits = getattr(self._config, name)
        if limits.least is not None:
            yield f"low_{name}", limits.least, (value - limits.least) / self._spreads[name]
        if limits.most is not None:
            yield f"high_{name}", limits.most, (limits.most - value) / self._spreads[name]

    def _find_duplicates(self, measured: Measured) -> list[Fault]:
        if self._config.same_sound and (first := self._sounds.get(measured.sound_key)):
            return [Fault("same_sound", f"its samples are those of {first}")]
        if measured.text_key not in self._repeated:
            return []
        text, length = _outline_key(measured)
        alike = [twin for step in (-1, 0, 1) for twin in self._outlines[text, length + step]]
        twin = next((other for other in alike if are_near(other.outline, measured.outline)), None)
        if self._config.near_sound and twin:
            return [Fault("near_sound", f"its text and nearly its sound are those of {twin.id}")]
        most = self._config.same_text_most
        if most is not None and self._times_said[text, measured.voice] >= most:
            return [Fault("same_text", f"{most} utterances of its voice have its text")]
        return []

    def _remember(self, measured: Measured) -> None:
        if measured.sound_key in self._repeated:
            self._sounds[measured.sound_key] = measured.id
        if measured.text_key in self._repeated:
            self._outlines[_outline_key(measured)].append(measured)
            self._times_said[measured.text_key, measured.voice] += 1


def _outline_key(measured: Measured) -> tuple[str, int]:
    return measured.text_key, int(measured.sounding_s / NEAR_SECONDS)


def _describe(reason: str, name: str, value: float, limit: float, distance: float) -> Fault:
    side = "least" if reason.startswith("low_") else "most"
    score = SCORES[name]
    detail = f"{score.title.lower()} {value:.3g}{score.unit}, the {side} is {limit:g}{score.unit}"
    return Fault(reason, detail, distance)
