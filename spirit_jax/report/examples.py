"""What the model says to a few held-out records, beside what was said."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from spirit_jax.evals.items import DIRECTIONS, cut_word, words_of
from spirit_jax.files import read_jsonl
from spirit_jax.generation.prompt import Task, speech_of
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.generation.spirit_lm import NEW_SPEECH_AFTER_TEXT, NEW_TEXT, SpiritLM
from spirit_jax.report import figures
from spirit_jax.speech import audio
from spirit_jax.tokens.interleave import Record, boundaries, continuation
from spirit_jax.tokens.vocab import Modality, merge
from spirit_jax.units import SAMPLE_RATE, UNIT_RATE, SpeechTokens


@dataclasses.dataclass(frozen=True)
class Clip:
    """Words, and how they sound, as a data URI, if they were spoken. `heard`: the words are the model's own transcript."""

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


def make_examples(lm: SpiritLM, records: Sequence[Record], count: int, seed: int = 0) -> list[Example]:
    """For the first `count` records that can be cut: continuations in each direction but text to text, then reading aloud and transcribing."""
    chosen = [(record, cut) for record in records if (cut := _cut(lm, record)) is not None][:count]
    if not chosen:
        return []
    directions = [direction for direction in DIRECTIONS if Modality.SPEECH in (direction.prompt, direction.target)]
    jobs = [(direction, record, cut) for direction in directions for record, cut in chosen]
    prompts = [continuation(record, cut, direction.prompt, direction.target, lm.vocabulary) for direction, record, cut in jobs]
    asked = [_ask(lm, prompt, target, direction.target) for (direction, _, _), (prompt, target) in zip(jobs, prompts)]
    texts = [lm.tokenizer.decode(record.text_ids) for record, _ in chosen]
    asked += [lm.format.encode([text], Task.SPEAK, Modality.SPEECH) for text in texts]
    targets = [direction.target for direction, _, _ in jobs] + [Modality.SPEECH] * len(texts)
    generated = _generate(lm, asked, targets, seed)
    examples = []
    for number, (direction, record, cut) in enumerate(jobs):
        title = f"{direction.prompt.value} → {direction.target.value}".capitalize()
        sides = _side(lm, record, 0, cut, direction.prompt), _side(lm, record, cut, record.words, direction.target)
        examples.append(Example(title, sides[0], generated[number], sides[1]))
    for (record, _), text, spoken in zip(chosen, texts, generated[len(jobs) :]):
        examples.append(Example("Reading aloud", Clip(text), spoken, _side(lm, record, 0, record.words, Modality.SPEECH)))
    transcripts = lm.generate([[record.speech] for record, _ in chosen if record.speech], task=Task.TRANSCRIBE)
    for (record, _), text, transcript in zip(chosen, texts, transcripts):
        sound = dataclasses.replace(_side(lm, record, 0, record.words, Modality.SPEECH), words="")
        examples.append(Example("Transcribing", sound, Clip(transcript.text), Clip(text)))
    return examples


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
    tokens = len(merge(record.speech)[0])
    source = "As recorded" if recording else "Resynthesised from its units"
    caption = f"{source}: {record.speech.duration_s:.1f} s, {len(words)} words, {len(record.text_ids)} text tokens, {tokens} speech tokens."
    figure = figures.utterance(record, words, wav)
    return {"text": " ".join(words), "voice": record.voice, "figure_svg": figure, "audio": player(wav), "caption": caption}


def find_recording(manifest: Path, id: str) -> Path | None:
    """The sound file of a manifest's row, relative to the manifest's folder."""
    row = next((row for row in read_jsonl(manifest) if row["id"] == id and row["audio"]), None)
    return None if row is None else manifest.parent / row["audio"]


def player(wav: np.ndarray) -> str:
    """Float32 samples at 16 kHz as a 16-bit wav data URI."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(wav, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _cut(lm: SpiritLM, record: Record) -> int | None:
    return cut_word(words_of(record, lm.tokenizer), boundaries(record, lm.vocabulary))


def _ask(lm: SpiritLM, prompt: np.ndarray, target: np.ndarray, modality: Modality) -> np.ndarray:
    """The prompt with the tag that begins the target, if it changes modality."""
    tag = lm.vocabulary.text_tag if modality is Modality.TEXT else lm.vocabulary.speech_tag
    return np.append(prompt, target[:1]) if target[0] == tag else prompt


def _generate(lm: SpiritLM, prompts: Sequence[np.ndarray], targets: Sequence[Modality], seed: int) -> list[Clip]:
    """Sampled continuations of each prompt in its modality; speech is transcribed by the model itself, greedily."""
    clips: dict[int, Clip] = {}
    for modality, most in ((Modality.TEXT, NEW_TEXT), (Modality.SPEECH, NEW_SPEECH_AFTER_TEXT)):
        places = [i for i, target in enumerate(targets) if target is modality]
        outputs = dict(zip(places, lm.generate_ids([prompts[i] for i in places], modality, most, Sampling(), seed)))
        if modality is Modality.TEXT:
            clips |= {i: Clip(lm.tokenizer.decode(ids)) for i, ids in outputs.items()}
            continue
        speeches = {i: speech_of(ids, lm.vocabulary) for i, ids in outputs.items()}
        spoken = [i for i in places if len(speeches[i].units)]
        transcripts = lm.generate([[outputs[i]] for i in spoken], task=Task.TRANSCRIBE, sampling=GREEDY)
        clips |= dict.fromkeys(places, Clip(""))
        clips |= {i: Clip(heard.text, player(lm.codec.decode(speeches[i])), heard=True) for i, heard in zip(spoken, transcripts)}
    return [clips[i] for i in range(len(prompts))]


def _side(lm: SpiritLM, record: Record, first: int, last: int, modality: Modality) -> Clip:
    """Words [first, last) of a record; if spoken, resynthesised from its units."""
    words = " ".join(words_of(record, lm.tokenizer)[first:last])
    if modality is Modality.TEXT or record.speech is None:
        return Clip(words)
    times = [0.0, *record.word_start_s[1:], record.speech.duration_s]
    begin, end = round(times[first] * UNIT_RATE), round(times[last] * UNIT_RATE)
    return Clip(words, player(lm.codec.decode(SpeechTokens(record.speech.units[begin:end]))))
