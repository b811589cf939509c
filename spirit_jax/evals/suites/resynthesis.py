"""What a codec keeps of speech: words, F0 and style after encoding and decoding (paper, table 9).

The codec is the checkpoint's, or that of `--codec`, so that codecs are compared by two evaluations. Durations
are the recording's: units are not deduplicated. Every measure is also taken of the originals, except the F0
frame error, which compares the two.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.progress import Progress
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import load_sounds
from spirit_jax.evals.judges.judges import OPTIONS, Judges
from spirit_jax.evals.layouts import styled_speech
from spirit_jax.evals.layouts.styled_speech import Styled
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.evals.metrics.f0_errors import count_frame_errors
from spirit_jax.evals.metrics.intervals import estimate_rate
from spirit_jax.evals.metrics.word_errors import ENGLISH, count_errors
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.vocabulary import Modality

SOUNDS = 32  # resynthesised at a time: 15 s each are 60 MB with their copies
Counts = list[tuple[float, float]]  # of each recording: errors or hits, and of how many


@dataclasses.dataclass(frozen=True)
class Sounds:
    """Recordings, their sounds as they are, and the sounds that are measured."""

    recordings: Sequence[Styled]
    originals: Sequence[np.ndarray]
    wavs: Sequence[np.ndarray]


def word_errors(sounds: Sounds, judges: Judges) -> Counts:
    """Wrong words and words of the text, by the recogniser, in the English normal form."""
    heard = judges.recogniser.transcribe(sounds.wavs)
    return [count_errors(one.text, text, ENGLISH) for one, text in zip(sounds.recordings, heard)]


def frame_errors(sounds: Sounds, judges: Judges) -> Counts:
    """Frames whose F0 differs from the original's, and frames."""
    return [count_frame_errors(*pair) for pair in zip(track_f0(sounds.originals), track_f0(sounds.wavs))]


def right_styles(sounds: Sounds, judges: Judges) -> Counts:
    """1 where the classifier tells the recording's style, of 1."""
    classifier = judges.classifiers[Modality.SPEECH]
    _require_styles(classifier.labels, sounds.recordings)
    told = classifier.classify(sounds.wavs)
    return [(float(label.lower() == one.style.lower()), 1) for one, label in zip(sounds.recordings, told)]


def _require_styles(labels: Sequence[str], recordings: Sequence[Styled]) -> None:
    """UserError for a classifier of something else: none of its labels is a style of these recordings."""
    styles = sorted({one.style.lower() for one in recordings})
    if not {label.lower() for label in labels} & set(styles):
        rule = f"tells none of the styles {', '.join(styles)}"
        raise UserError(OPTIONS["speech_classifier"], list(labels), rule, "give a classifier of styles")


@dataclasses.dataclass(frozen=True)
class Resynthesis:
    """One measure of resynthesised recordings: (sounds, judges) -> counts. details: `original` (the same of
    the recordings as they are), `codec` (its fingerprint), `judges`, `set_aside`, `paper`, `data`. rows: of
    each recording what was counted, of how many, and the same of the original.
    """

    title: str
    description: str
    kind: ResultKind
    measure: Callable[[Sounds, Judges], Counts]
    judges: tuple[str, ...] = ()
    needs_text: bool = False
    paper: Mapping[str, float] | None = None
    place: Place = styled_speech.PLACE
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is resynthesised."""
        return styled_speech.fingerprint_of(styled_speech.read_styled(root, split))

    def items(self, evaluation: Evaluation) -> list[Styled]:
        """The recordings of the split, also those that are set aside."""
        found = styled_speech.read_styled(evaluation.data_folder(self.place), evaluation.split)
        return [self._check(one) for one in found]

    def score(self, evaluation: Evaluation, items: Sequence[Styled]) -> Result:
        """Resynthesises and measures a few recordings at a time."""
        codec, judges = evaluation.lm.codec, evaluation.judges
        faults = collections.Counter(one.fault for one in items if one.fault)
        measured: list[Styled] = []
        found: Counts = []
        before: Counts = []
        for sounds in _resynthesise(codec, [one for one in items if not one.fault], faults):
            measured += sounds.recordings
            found += self.measure(sounds, judges)
            if self.kind is not ResultKind.FRAME_ERROR_RATE:
                before += self.measure(dataclasses.replace(sounds, wavs=sounds.originals), judges)
        value, original = (estimate_rate(counts, evaluation.seed) for counts in (found, before))
        details = {
            **({"original": original.value} if before else {}),
            "codec": codec.fingerprint,
            "judges": {name: str(getattr(judges, name, "")) for name in self.judges},
            "set_aside": dict(faults),
            "data": {
                "folder": str(evaluation.data),
                "split": evaluation.split,
                "fingerprint": styled_speech.fingerprint_of(list(items)),
            },
            **({"paper": dict(self.paper)} if self.paper else {}),
        }
        rows = tuple(_row(*one) for one in itertools.zip_longest(measured, found, before))
        return Result(value.value, value.interval, value.n, self.kind, details, rows)

    def _check(self, one: Styled) -> Styled:
        if self.needs_text and not one.fault and not one.text.strip():
            return dataclasses.replace(one, fault="no_text", detail=f"{one.id} has no transcript")
        return one


def _row(one: Styled, counts: tuple[float, float], before: tuple[float, float] | None) -> dict:
    row = {"id": one.id, "style": one.style, "counted": counts[0], "of": counts[1]}
    return row if before is None else {**row, "counted_in_original": before[0]}


def _resynthesise(
    codec: Codec, recordings: Sequence[Styled], faults: collections.Counter[str]
) -> Iterator[Sounds]:
    """Some recordings, and what the codec makes of them. What cannot be used is counted in `faults`."""
    ordered = sorted(recordings, key=lambda one: one.sound.size)
    with Progress("resynthesise", len(ordered), "sound") as progress:
        for first in range(0, len(ordered), SOUNDS):
            called = ordered[first : first + SOUNDS]
            loaded = load_sounds([one.sound for one in called])
            faults.update(wav.reason for wav in loaded if isinstance(wav, BadAudio))
            usable = [(one, wav) for one, wav in zip(called, loaded) if isinstance(wav, np.ndarray)]
            if usable:
                some, originals = map(list, zip(*usable))
                yield Sounds(some, originals, [codec.decode(one) for one in codec.encode_batch(originals)])
            progress.advance(len(called))
