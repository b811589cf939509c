"""What the codec's sound keeps of held-out recordings besides their words: F0 and style, without a judge."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import load_sounds
from spirit_jax.evals.layouts.trials import sound_of
from spirit_jax.evals.metrics.f0_errors import count_frame_errors
from spirit_jax.evals.metrics.intervals import estimate_rate
from spirit_jax.evals.recordings import NO_RECORDINGS
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.tokens.interleave import Arrangement, Record

STYLE = "style"  # the stream
Counts = Sequence[tuple[float, float]]  # of each record: errors or hits, and of how many
Compared = tuple[Counts, dict]  # with details


@dataclasses.dataclass(frozen=True)
class KeptInSound:
    """Compares the resynthesis of records with what they were. An item is a record.

    compare: (evaluation, records, their resyntheses) to counts. needs_recordings: only measured where the
    recordings of the records are known. stream: only measured for a codec with it. max_items: only the first
    so many records.
    """

    title: str
    description: str
    kind: ResultKind
    compare: Callable[[Evaluation, Sequence[Record], Sequence[np.ndarray]], Compared]
    needs_recordings: bool = False
    stream: str | None = None
    max_items: int = 64
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()
    judges: tuple[str, ...] = ()

    def items(self, evaluation: Evaluation) -> list[Record]:
        """The first records with speech."""
        return [record for record in evaluation.records if record.speech is not None][: self.max_items]

    def score(self, evaluation: Evaluation, items: Sequence[Record]) -> Result:
        """Speaks the records' codes with their own durations, and compares."""
        names = [stream.name for stream in evaluation.lm.vocabulary.streams]
        if self.stream is not None and self.stream not in names:
            return Result(None, None, 0, self.kind, {"not_measured": f"the codec has no {self.stream} codes"})
        if items and self.needs_recordings and not evaluation.recordings:
            return Result(None, None, 0, self.kind, {"not_measured": NO_RECORDINGS})
        if not items:
            return Result(None, None, 0, self.kind)
        wavs = [evaluation.lm.codec.decode(one.speech) for one in items if one.speech is not None]
        counts, details = self.compare(evaluation, items, wavs)
        value = estimate_rate(counts, evaluation.seed)
        return Result(value.value, value.interval, value.n, self.kind, details)


def f0_errors(evaluation: Evaluation, records: Sequence[Record], wavs: Sequence[np.ndarray]) -> Compared:
    """Frames with another voicing than the recording's or an F0 that is 20 % off, and frames."""
    known = [evaluation.recordings.get(one.id) for one in records]
    sounds = iter(load_sounds([sound_of(row) for row in known if row is not None]))
    loaded = [BadAudio("no_recording", "") if row is None else next(sounds) for row in known]
    aside = collections.Counter(one.reason for one in loaded if isinstance(one, BadAudio))
    pairs = [(one, wav) for one, wav in zip(loaded, wavs) if isinstance(one, np.ndarray)]
    originals, made = (track_f0([pair[i] for pair in pairs]) for i in (0, 1))
    return [count_frame_errors(*both) for both in zip(originals, made)], {"set_aside": dict(aside)}


def style_hits(evaluation: Evaluation, records: Sequence[Record], wavs: Sequence[np.ndarray]) -> Compared:
    """Seconds whose style code, read again from the sound, is the record's, and seconds. chance: the same
    with the codes of the next record.
    """
    codec = evaluation.lm.codec
    true = [one.speech.codes[STYLE] for one in records if one.speech is not None]
    read = [speech.codes[STYLE] for speech in codec.encode_batch(wavs)]
    hits = [_count_equal(*pair) for pair in zip(true, read)]
    others = np.array([_count_equal(*pair) for pair in zip(true, true[1:] + true[:1])]).sum(axis=0)
    return hits, {"chance": float(others[0] / max(others[1], 1))}


def _count_equal(true: np.ndarray, read: np.ndarray) -> tuple[int, int]:
    """The shorter one is compared."""
    count = min(len(true), len(read))
    return int((true[:count] == read[:count]).sum()), count
