"""What the model says to a few held-out records, beside what was said."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from spirit_jax.core.files import read_jsonl
from spirit_jax.evals.suites.continuations import DIRECTIONS, Direction, cut_word, words_of
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.generation.spirit_lm import NEW_SPEECH_AFTER_TEXT, NEW_TEXT, SpiritLM
from spirit_jax.report import figures
from spirit_jax.speech import audio
from spirit_jax.tokens.interleave import Record, boundaries, continuation
from spirit_jax.tokens.prompt_format import Task, speech_of
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens, duration_s, excerpt
from spirit_jax.tokens.vocabulary import Modality, merge


@dataclasses.dataclass(frozen=True)
class Clip:
    """Words, and how they sound, as a data URI, if they were spoken. `heard`: the words are the model's own
    transcript.
    """

    words: str
    audio: str | None = None
    heard: bool = False


@dataclasses.dataclass(frozen=True)
class Example:
    """A prompt, what the model made of it, and what the record says there."""

    title: str
    prompt: Clip
    generated: Clip
    reference: Clip


@dataclasses.dataclass(frozen=True)
class Question:
    """An example without its answer. lead: ids of speech that the model hears before the answer when it
    transcribes it.
    """

    title: str
    ids: np.ndarray
    target: Modality
    sampling: Sampling
    lead: np.ndarray
    prompt: Clip
    reference: Clip


def make_examples(lm: SpiritLM, records: Sequence[Record], count: int, seed: int = 0) -> list[Example]:
    """For the first `count` records that can be cut: continuations in each direction but text to text, then
    reading aloud and transcribing.
    """
    chosen = [
        (record, cut)
        for record in records
        if (cut := cut_word(words_of(record, lm.tokenizer), boundaries(record, lm.vocabulary)))
    ][:count]
    directions = [
        direction for direction in DIRECTIONS if Modality.SPEECH in (direction.prompt, direction.target)
    ]
    questions = [_continue(lm, record, cut, direction) for direction in directions for record, cut in chosen]
    questions += [_read_aloud(lm, record) for record, _ in chosen]
    questions += [_transcribe(lm, record, record.speech) for record, _ in chosen if record.speech]
    answers = _answer(lm, questions, seed)
    return [
        Example(question.title, question.prompt, answer, question.reference)
        for question, answer in zip(questions, answers)
    ]


def show_utterance(lm: SpiritLM, records: Sequence[Record], manifest: Path | None) -> dict | None:
    """The first aligned record as a figure, a player and words about them; None if there is none.

    The sound is the recording, found by the record's id in `manifest`, or else the units' own.
    """
    record = next((record for record in records if record.aligned and record.speech), None)
    if record is None or record.speech is None:
        return None
    recording = find_recording(manifest, record.id) if manifest else None
    wav = audio.load(recording) if recording else lm.codec.decode(record.speech)
    words = words_of(record, lm.tokenizer)
    tokens = len(merge(record.speech, lm.vocabulary.streams)[0])
    source = "As recorded" if recording else "Resynthesised from its units"
    caption = (
        f"{source}: {duration_s(record.speech, lm.vocabulary.streams):.1f} s, {len(words)} words, "
        f"{len(record.text_ids)} text tokens, {tokens} speech tokens."
    )
    figure = figures.utterance(record, words, wav, lm.vocabulary.streams)
    return {
        "text": " ".join(words),
        "voice": record.voice,
        "figure_svg": figure,
        "audio": player(wav),
        "caption": caption,
    }


def find_recording(manifest: Path, id: str) -> Path | None:
    """The sound file of a manifest's row, relative to the manifest's folder."""
    row = next((row for row in read_jsonl(manifest) if row["id"] == id and row["audio"]), None)
    return None if row is None else manifest.parent / row["audio"]


def player(wav: np.ndarray) -> str:
    """Float32 samples at 16 kHz as a 16-bit wav data URI."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(wav, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _continue(lm: SpiritLM, record: Record, cut: int, direction: Direction) -> Question:
    title = f"{direction.prompt.value} → {direction.target.value}".capitalize()
    ids, target = continuation(record, cut, direction.prompt, direction.target, lm.vocabulary)
    ids = ids if direction.prompt is direction.target else np.append(ids, target[:1])  # the tag
    lead = continuation(record, cut, Modality.SPEECH, Modality.SPEECH, lm.vocabulary)[0][2:]
    prompt, reference = (
        _clip(lm, record, 0, cut, direction.prompt),
        _clip(lm, record, cut, record.words, direction.target),
    )
    return Question(title, ids, direction.target, Sampling(), lead, prompt, reference)


def _read_aloud(lm: SpiritLM, record: Record) -> Question:
    text, spoken = (
        _clip(lm, record, 0, record.words, modality) for modality in (Modality.TEXT, Modality.SPEECH)
    )
    ids = lm.format.encode([text.words], Task.SPEAK, Modality.SPEECH)
    return Question("Reading aloud", ids, Modality.SPEECH, GREEDY, ids[:0], text, spoken)


def _transcribe(lm: SpiritLM, record: Record, speech: SpeechTokens) -> Question:
    ids = lm.format.encode([speech], Task.TRANSCRIBE, Modality.TEXT)
    spoken, text = (
        Clip("", player(lm.codec.decode(speech))),
        _clip(lm, record, 0, record.words, Modality.TEXT),
    )
    return Question("Transcribing", ids, Modality.TEXT, GREEDY, ids[:0], spoken, text)


def _answer(lm: SpiritLM, questions: Sequence[Question], seed: int) -> list[Clip]:
    """What the model goes on with; speech it transcribes itself, greedily, together with what
    lies before it.
    """
    ids: dict[int, np.ndarray] = {}
    for modality, most in ((Modality.TEXT, NEW_TEXT), (Modality.SPEECH, NEW_SPEECH_AFTER_TEXT)):
        for sampling in (Sampling(), GREEDY):
            places = [
                i
                for i, question in enumerate(questions)
                if (question.target, question.sampling) == (modality, sampling)
            ]
            ids |= zip(
                places, lm.generate_ids([questions[i].ids for i in places], modality, most, sampling, seed)
            )
    answers = {
        i: Clip(" ".join(part for part in lm.format.decode(new) if isinstance(part, str)))
        for i, new in ids.items()
    }
    spoken = {
        i: speech
        for i, new in ids.items()
        if questions[i].target is Modality.SPEECH and len((speech := speech_of(new, lm.vocabulary)).units)
    }
    heard = lm.generate([[np.concatenate([questions[i].lead, ids[i]])] for i in spoken], task=Task.TRANSCRIBE)
    answers |= {
        i: Clip(transcript.text, player(lm.codec.decode(spoken[i])), heard=True)
        for i, transcript in zip(spoken, heard)
    }
    return [answers[i] for i in range(len(questions))]


def _clip(lm: SpiritLM, record: Record, first: int, last: int, modality: Modality) -> Clip:
    """Words [first, last) of a record; if spoken, resynthesised from its units."""
    words = " ".join(words_of(record, lm.tokenizer)[first:last])
    if modality is Modality.TEXT or record.speech is None:
        return Clip(words)
    times = [0.0, *record.word_start_s[1:], duration_s(record.speech, lm.vocabulary.streams)]
    return Clip(
        words,
        player(lm.codec.decode(excerpt(record.speech, times[first], times[last], lm.vocabulary.streams))),
    )
