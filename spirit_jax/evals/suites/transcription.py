"""Speech to text and back, as word error rates of one model that does both."""

from collections.abc import Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.word_errors import word_error_rate
from spirit_jax.generation.sampling import GREEDY
from spirit_jax.generation.spirit_lm import Output, SpiritLM
from spirit_jax.speech import audio
from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.prompt_format import Part, Task, length_of
from spirit_jax.tokens.vocabulary import merge

EXAMPLES = 8  # kept in the results
# texts that are read aloud, and those that become sound: they take longest
ROUND_TRIPS, AUDIO_ROUND_TRIPS = 128, 16
ROOM = 1.25  # of the longest reference: what a transcript or utterance may take at most


def wer_s2t(evaluation: Evaluation) -> dict:
    """Greedy transcripts of held-out speech against its text."""
    records = evaluation.transcribed
    return _compare(
        evaluation,
        records,
        transcribe(
            evaluation.lm, [record.speech for record in records if record.speech], _text_room(evaluation)
        ),
    )


def wer_t2s(evaluation: Evaluation) -> dict:
    """Round trip: held-out texts, the first 128, read aloud, then transcribed by the same model from the
    tokens that it spoke.
    """
    records = evaluation.transcribed[:ROUND_TRIPS]
    outputs = speak(evaluation, records)
    return _compare(
        evaluation,
        records,
        transcribe(evaluation.lm, [output.ids for output in outputs], _text_room(evaluation)),
    )


def wer_t2s_audio(evaluation: Evaluation) -> dict:
    """The round trip through the air: what was spoken becomes sound, and the sound units again. The first 16
    texts.
    """
    lm, records = evaluation.lm, evaluation.transcribed[:AUDIO_ROUND_TRIPS]
    spoken = [output.speech[0] if output.speech else None for output in speak(evaluation, records)]
    wavs = {
        i: wav
        for i, speech in enumerate(spoken)
        if speech and len(wav := lm.codec.decode(speech)) >= audio.MIN_SAMPLES
    }
    again = dict(zip(wavs, lm.codec.encode_batch(list(wavs.values()))))
    nothing = np.zeros(0, np.int32)
    return _compare(
        evaluation,
        records,
        transcribe(lm, [again.get(i, nothing) for i in range(len(records))], _text_room(evaluation)),
    )


def transcribe(lm: SpiritLM, speeches: Sequence[Part], room: int) -> list[str]:
    """Greedy transcripts of at most `room` tokens, of SpeechTokens or ids of speech; no speech
    gives no text.
    """
    heard = [i for i, speech in enumerate(speeches) if length_of(speech)]
    outputs = lm.generate(
        [[speeches[i]] for i in heard], task=Task.TRANSCRIBE, max_new_tokens=room, sampling=GREEDY
    )
    texts = dict(zip(heard, outputs))
    return [texts[i].text if i in texts else "" for i in range(len(speeches))]


def speak(evaluation: Evaluation, records: Sequence[Record]) -> list[Output]:
    """The records' texts, read aloud."""
    lm = evaluation.lm
    longest = max(
        (len(merge(record.speech, lm.vocabulary.streams)[0]) for record in records if record.speech),
        default=1,
    )
    texts = [[lm.tokenizer.decode(record.text_ids)] for record in records]
    return lm.generate(
        texts, task=Task.SPEAK, max_new_tokens=int(ROOM * longest), sampling=GREEDY, seed=evaluation.seed
    )


def _text_room(evaluation: Evaluation) -> int:
    """The same for every task, so that they share what is compiled."""
    return int(ROOM * max((len(record.text_ids) for record in evaluation.transcribed), default=1)) + 1


def _compare(evaluation: Evaluation, records: Sequence[Record], texts: list[str]) -> dict:
    references = [evaluation.lm.tokenizer.decode(record.text_ids) for record in records]
    examples = [
        {"id": record.id, "reference": reference, "transcript": text}
        for record, reference, text in zip(records, references, texts)
    ]
    return {**word_error_rate(references, texts, evaluation.seed).to_dict(), "examples": examples[:EXAMPLES]}
