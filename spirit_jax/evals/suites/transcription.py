"""Word and character error rates of a model that transcribes recordings, or what it has read aloud itself."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.word_errors import character_error_rate, count_errors, word_error_rate
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.output import Output
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech import audio
from spirit_jax.tokens import prompt_format
from spirit_jax.tokens.interleave import Arrangement, Record
from spirit_jax.tokens.prompt_format import Part, length_of

EXAMPLES = 8  # transcripts in the details
LENGTH_MARGIN = 1.25  # new tokens of a transcript or utterance, as a multiple of the longest reference


@dataclasses.dataclass(frozen=True)
class Transcription:
    """Word error rate of greedy transcripts against the records' texts. An item is a record.

    speech: makes the speech of each record, to be transcribed. max_items: only the first so many records,
    since generating speech takes long; None for all. details: `cer`, `cer_low`, `cer_high`, the character
    error rate and its interval, for languages without spaces; `examples`, the first 8 transcripts. rows: of
    each record its id, reference, transcript, errors and words.
    """

    title: str
    description: str
    speech: Callable[[Evaluation, Sequence[Record]], Sequence[Part]]
    learned_from: tuple[Arrangement, ...]
    max_items: int | None = None
    kind: ResultKind = ResultKind.WORD_ERROR_RATE
    needs_speech: bool = True
    judges: tuple[str, ...] = ()

    def items(self, evaluation: Evaluation) -> list[Record]:
        """The first records with speech and text."""
        return evaluation.transcribed_records[: self.max_items]

    def score(self, evaluation: Evaluation, items: Sequence[Record]) -> Result:
        """Transcribes, and counts errors over the corpus."""
        lm = evaluation.lm
        texts = transcribe(lm, self.speech(evaluation, items), max_text_tokens(evaluation))
        references = [lm.tokenizer.decode(record.text_ids) for record in items]
        examples = [
            {"id": record.id, "reference": reference, "transcript": text}
            for record, reference, text in zip(items, references, texts)
        ]
        counts = [count_errors(one["reference"], one["transcript"]) for one in examples]
        rows = [dict(one, errors=errors, words=words) for one, (errors, words) in zip(examples, counts)]
        rate = word_error_rate(references, texts, evaluation.seed)
        characters = character_error_rate(references, texts, evaluation.seed)
        low, high = characters.interval or (None, None)
        details = {"cer": characters.value, "cer_low": low, "cer_high": high, "examples": examples[:EXAMPLES]}
        return Result(rate.value, rate.interval, rate.n, self.kind, details, tuple(rows))


def recorded_speech(evaluation: Evaluation, records: Sequence[Record]) -> list[Part]:
    """The records' own speech."""
    return [record.speech for record in records if record.speech is not None]


def spoken_tokens(evaluation: Evaluation, records: Sequence[Record]) -> list[Part]:
    """The tokens with which the model reads the records' texts aloud."""
    return [output.ids for output in read_aloud(evaluation, records)]


def spoken_sound(evaluation: Evaluation, records: Sequence[Record]) -> list[Part]:
    """The same, decoded to sound and encoded again. What is too short to encode is no speech."""
    spoken = [output.speech[0].wav if output.speech else None for output in read_aloud(evaluation, records)]
    wavs = {i: wav for i, wav in enumerate(spoken) if wav is not None and len(wav) >= audio.MIN_SAMPLES}
    encoded = dict(zip(wavs, evaluation.lm.codec.encode_batch(list(wavs.values()))))
    nothing = np.zeros(0, np.int32)
    return [encoded.get(i, nothing) for i in range(len(records))]


def transcribe(lm: SpiritLM, speeches: Sequence[Part], max_new_tokens: int) -> list[str]:
    """Greedy transcripts of SpeechTokens or ids of speech; empty speech has an empty transcript."""
    present = [i for i, speech in enumerate(speeches) if length_of(speech)]
    outputs = lm.generate(
        [[speeches[i]] for i in present],
        task=prompt_format.Task.TRANSCRIBE,
        max_new_tokens=max_new_tokens,
    )
    texts = {i: output.text for i, output in zip(present, outputs)}
    return [texts.get(i, "") for i in range(len(speeches))]


def read_aloud(evaluation: Evaluation, records: Sequence[Record]) -> list[Output]:
    """The records' texts, read aloud greedily."""
    lm = evaluation.lm
    longest = max((evaluation.count_speech_tokens(record) for record in records), default=1)
    return lm.generate(
        [[lm.tokenizer.decode(record.text_ids)] for record in records],
        task=prompt_format.Task.SPEAK,
        max_new_tokens=int(LENGTH_MARGIN * longest),
        seed=evaluation.seed,
    )


def max_text_tokens(evaluation: Evaluation) -> int:
    """New tokens of a transcript. The same for every task, so that they share a compiled function."""
    longest = max((len(record.text_ids) for record in evaluation.transcribed_records), default=1)
    return int(LENGTH_MARGIN * longest) + 1
