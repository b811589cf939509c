"""What a recogniser writes that the model knows nothing of: of recordings, of their resynthesis, and of what
the model says.

A model may transcribe speech of its own that nobody else understands. The rates of recordings are the least
that the others can have.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import load_sounds
from spirit_jax.evals.judges.quality import OPINION
from spirit_jax.evals.layouts.trials import sound_of
from spirit_jax.evals.metrics.intervals import estimate_mean
from spirit_jax.evals.metrics.word_errors import ENGLISH, character_error_rate, word_error_rate
from spirit_jax.evals.recordings import NO_RECORDINGS
from spirit_jax.evals.suites.continuations import find_cut, spoken_beginning
from spirit_jax.evals.suites.transcription import (
    EXAMPLES,
    LENGTH_MARGIN,
    max_text_tokens,
    read_aloud,
    transcribe,
)
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.speech.audio import BadAudio
from spirit_jax.tokens import prompt_format
from spirit_jax.tokens.interleave import Arrangement, Record
from spirit_jax.tokens.prompt_format import speech_of
from spirit_jax.tokens.vocabulary import Modality


@dataclasses.dataclass(frozen=True)
class Said:
    """A sound, float32 [samples] at 16 kHz, with the text that should be heard in it; or why there is none.

    id: of the record. Nothing said is an empty sound.
    """

    id: str
    text: str
    wav: np.ndarray | BadAudio


@dataclasses.dataclass(frozen=True)
class Hearing:
    """Word error rate of a recogniser's transcripts of what `say` says for each record. An item is a record.

    needs_recordings: only measured where the recordings of the records are known. details: `asr` (the
    recogniser), `normalisation`, `cer`, `cer_low`, `cer_high`, `set_aside`, and `examples`, the first 8.
    """

    title: str
    description: str
    say: Callable[[Evaluation, Sequence[Record]], list[Said]]
    learned_from: tuple[Arrangement, ...] = ()
    needs_recordings: bool = False
    kind: ResultKind = ResultKind.WORD_ERROR_RATE
    needs_speech: bool = True
    judges: tuple[str, ...] = ("asr",)

    def items(self, evaluation: Evaluation) -> list[Record]:
        """The records with speech and text."""
        return evaluation.transcribed_records

    def score(self, evaluation: Evaluation, items: Sequence[Record]) -> Result:
        """Says, listens, and counts errors over the corpus."""
        if items and self.needs_recordings and not evaluation.recordings:
            return Result(None, None, 0, self.kind, {"not_measured": NO_RECORDINGS})
        heard, aside = _listen(evaluation, self.say(evaluation, items))
        texts, written = [row["reference"] for row in heard], [row["transcript"] for row in heard]
        rate = word_error_rate(texts, written, evaluation.seed, ENGLISH)
        characters = character_error_rate(texts, written, evaluation.seed, ENGLISH)
        low, high = characters.interval or (None, None)
        details = {
            **({"asr": evaluation.judges.recogniser.about} if heard else {}),
            "normalisation": ENGLISH.name,
            "cer": characters.value,
            "cer_low": low,
            "cer_high": high,
            "set_aside": aside,
            "examples": heard[:EXAMPLES],
        }
        return Result(rate.value, rate.interval, rate.n, self.kind, details, tuple(heard))


@dataclasses.dataclass(frozen=True)
class Rating:
    """Mean predicted opinion score (P.808) of what `say` says for each record. An item is a record.

    needs_recordings: as of `Hearing`. details: `judge`, means of its other scores (`overall`, `signal`,
    `background`), `set_aside`. rows: of each sound.
    """

    title: str
    description: str
    say: Callable[[Evaluation, Sequence[Record]], list[Said]]
    learned_from: tuple[Arrangement, ...] = ()
    needs_recordings: bool = False
    kind: ResultKind = ResultKind.OPINION_SCORE
    needs_speech: bool = True
    judges: tuple[str, ...] = ("mos",)

    def items(self, evaluation: Evaluation) -> list[Record]:
        """The records with speech and text."""
        return evaluation.transcribed_records

    def score(self, evaluation: Evaluation, items: Sequence[Record]) -> Result:
        """Says, and rates what was said."""
        if items and self.needs_recordings and not evaluation.recordings:
            return Result(None, None, 0, self.kind, {"not_measured": NO_RECORDINGS})
        said = self.say(evaluation, items)
        aside = collections.Counter(one.wav.reason for one in said if isinstance(one.wav, BadAudio))
        sounds = [(one.id, one.wav) for one in said if isinstance(one.wav, np.ndarray) and len(one.wav)]
        if silent := len(said) - len(sounds) - aside.total():
            aside["nothing_said"] = silent
        if not sounds:
            return Result(None, None, 0, self.kind, {"set_aside": dict(aside)})
        rated = evaluation.judges.quality.rate([wav for _, wav in sounds])
        scores = {name: np.array([one[name] for one in rated]) for name in rated[0]}
        value = estimate_mean(scores.pop(OPINION), evaluation.seed)
        details = {
            "judge": evaluation.judges.quality.about,
            **{name: float(values.mean()) for name, values in scores.items()},
            "set_aside": dict(aside),
        }
        rows = tuple({"id": id, **one} for (id, _), one in zip(sounds, rated))
        return Result(value.value, value.interval, value.n, self.kind, details, rows)


def _listen(evaluation: Evaluation, said: Sequence[Said]) -> tuple[list[dict], dict[str, int]]:
    """What was heard of each sound, and how many sounds there were not, by reason."""
    aside = collections.Counter(one.wav.reason for one in said if isinstance(one.wav, BadAudio))
    sounds = [(one, one.wav) for one in said if isinstance(one.wav, np.ndarray)]
    if not sounds:
        return [], dict(aside)
    written = evaluation.judges.recogniser.transcribe([wav for _, wav in sounds])
    heard = [
        {"id": one.id, "reference": one.text, "transcript": text} for (one, _), text in zip(sounds, written)
    ]
    return heard, dict(aside)


def recorded(evaluation: Evaluation, records: Sequence[Record]) -> list[Said]:
    """The recordings as they are."""
    return [Said(one.id, _text(evaluation, one), _load(evaluation, one)) for one in records]


def resynthesised(evaluation: Evaluation, records: Sequence[Record]) -> list[Said]:
    """What the codec makes of the recordings' codes, with their own durations."""
    codec = evaluation.lm.codec
    return [
        Said(one.id, _text(evaluation, one), codec.decode(one.speech))
        for one in records
        if one.speech is not None
    ]


def read(evaluation: Evaluation, records: Sequence[Record]) -> list[Said]:
    """The records' texts, read aloud by the model."""
    nothing = np.zeros(0, np.float32)
    outputs = read_aloud(evaluation, records)
    wavs = [output.speech[0].wav if output.speech else nothing for output in outputs]
    return [Said(one.id, _text(evaluation, one), wav) for one, wav in zip(records, wavs)]


def continued(evaluation: Evaluation, records: Sequence[Record]) -> list[Said]:
    """The records' beginnings with the model's continuations in speech, and its own transcripts of both.
    Both parts are spoken from tokens, with the decoder's durations.
    """
    lm = evaluation.lm
    cuts = [find_cut(one, lm.vocabulary, lm.tokenizer)[2] for one in records]
    begun = [spoken_beginning(one, cut, lm.vocabulary) for one, cut in zip(records, cuts) if cut is not None]
    longest = max((evaluation.count_speech_tokens(record) for record in records), default=1)
    outputs = lm.generate(
        [[ids] for ids in begun],
        output=Modality.SPEECH,
        task=prompt_format.Task.CONTINUE,
        max_new_tokens=int(LENGTH_MARGIN * longest),
        seed=evaluation.seed,
    )
    wholes = [np.concatenate([ids, output.ids]) for ids, output in zip(begun, outputs)]
    texts = transcribe(lm, wholes, max_text_tokens(evaluation))
    wavs = [lm.codec.decode(speech_of(ids, lm.vocabulary)) for ids in wholes]
    said = zip(texts, wavs)
    uncut = "", BadAudio("not_cut", "the record cannot be cut between two words")
    return [Said(one.id, *(uncut if cut is None else next(said))) for one, cut in zip(records, cuts)]


def _text(evaluation: Evaluation, record: Record) -> str:
    return evaluation.lm.tokenizer.decode(record.text_ids)


def _load(evaluation: Evaluation, record: Record) -> np.ndarray | BadAudio:
    row = evaluation.recordings.get(record.id)
    if row is None:
        return BadAudio("no_recording", f"the manifest has no recording {record.id}")
    [wav] = load_sounds([sound_of(row)])
    return wav
