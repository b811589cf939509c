"""What the model makes of a few held-out records, next to what the records say."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.evals.judges.recognisers import Recogniser
from spirit_jax.evals.recordings import load_recording
from spirit_jax.evals.suites.continuations import DIRECTIONS, Direction, cut_word, words_of
from spirit_jax.generation.options import NEW_SPEECH_AFTER_TEXT, NEW_TEXT
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.pages.sound import player
from spirit_jax.pages.utterance import Lanes, draw_utterance
from spirit_jax.speech import audio
from spirit_jax.tokens.interleave import Record, boundaries, continuation
from spirit_jax.tokens.prompt_format import Task, speech_of
from spirit_jax.tokens.streams import SpeechTokens, duration_s, excerpt
from spirit_jax.tokens.vocabulary import Modality, merge


@dataclasses.dataclass(frozen=True)
class Passage:
    """Words and, if they were spoken, their sound: as a data URI, and float32 at 16 kHz. transcribed: the
    words are the model's own transcript. heard: what a recogniser wrote of the sound.
    """

    words: str
    audio: str | None = None
    transcribed: bool = False
    heard: str | None = None
    wav: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)

    @classmethod
    def spoken(cls, words: str, wav: np.ndarray, transcribed: bool = False) -> "Passage":
        """Words with their sound."""
        return cls(words, player(wav), transcribed, wav=wav)


@dataclasses.dataclass(frozen=True)
class Example:
    """A prompt, what the model generated from it, and what the record says there. labels: of the three."""

    title: str
    prompt: Passage
    generated: Passage
    reference: Passage
    labels: tuple[str, str, str] = ("prompt", "model", "reference")


@dataclasses.dataclass(frozen=True)
class Request:
    """An example before the model has generated.

    prompt_ids, target, sampling: what is generated. context_ids: speech that comes before the generated
    speech when the model transcribes it.
    """

    title: str
    prompt_ids: np.ndarray
    target: Modality
    sampling: Sampling
    context_ids: np.ndarray
    prompt: Passage
    reference: Passage


def make_examples(
    lm: SpiritLM,
    records: Sequence[Record],
    count: int,
    seed: int = 0,
    recordings: Mapping[str, ManifestRow] | None = None,
) -> list[Example]:
    """For the first `count` records that can be cut: the recording, if it is known, and its resynthesis, then
    continuations in every direction but text to text, reading aloud and transcribing.
    """
    chosen = [
        (record, cut)
        for record in records
        if (cut := cut_word(words_of(record, lm.tokenizer), boundaries(record, lm.vocabulary)))
    ][:count]
    directions = [
        direction for direction in DIRECTIONS if Modality.SPEECH in (direction.prompt, direction.target)
    ]
    requests = [_continue(lm, record, cut, direction) for direction in directions for record, cut in chosen]
    requests += [_read_aloud(lm, record) for record, _ in chosen]
    requests += [_transcribe(lm, record, record.speech) for record, _ in chosen if record.speech]
    generated = _generate(lm, requests, seed)
    made = [
        Example(request.title, request.prompt, passage, request.reference)
        for request, passage in zip(requests, generated)
    ]
    return [*_resynthesise(lm, [record for record, _ in chosen], recordings or {}), *made]


def hear(examples: Sequence[Example], recogniser: Recogniser) -> list[Example]:
    """The examples, with what a recogniser writes of each sound."""
    passages = [passage for one in examples for passage in (one.prompt, one.generated, one.reference)]
    sounds = [passage.wav for passage in passages if passage.wav is not None]
    written = iter(recogniser.transcribe(sounds))
    told = iter(
        [
            passage if passage.wav is None else dataclasses.replace(passage, heard=next(written))
            for passage in passages
        ]
    )
    return [
        dataclasses.replace(one, prompt=next(told), generated=next(told), reference=next(told))
        for one in examples
    ]


def show_utterance(
    lm: SpiritLM, records: Sequence[Record], recordings: Mapping[str, ManifestRow]
) -> dict | None:
    """The first aligned record as a figure, a player and a caption; None if there is none.

    The sound is the recording if it is known and the file can be read (if not, a warning says why), else it
    is resynthesised from the units.
    """
    record = next((record for record in records if record.aligned and record.speech), None)
    if record is None or record.speech is None:
        return None
    recorded = _load(recordings.get(record.id))
    wav = lm.codec.decode(record.speech) if recorded is None else recorded
    words = words_of(record, lm.tokenizer)
    tokens = len(merge(record.speech, lm.vocabulary.streams)[0])
    source = "Resynthesised from its units" if recorded is None else "As recorded"
    caption = (
        f"{source}: {duration_s(record.speech, lm.vocabulary.streams):.1f} s, {len(words)} words, "
        f"{len(record.text_ids)} text tokens, {tokens} speech tokens."
    )
    timed = list(zip(words, record.word_start_s, record.word_end_s))
    figure = draw_utterance(Lanes(wav, timed, record.speech, lm.vocabulary.streams))
    return {
        "text": " ".join(words),
        "voice": record.voice,
        "figure": figure,
        "audio": player(wav),
        "caption": caption,
    }


def _load(row: ManifestRow | None) -> np.ndarray | None:
    """The samples of a recording; None if it is not known, and with a warning if it cannot be read."""
    if row is None:
        return None
    try:
        return load_recording(row)
    except audio.BadAudio as error:
        print(f"warning: {row['audio']}: {error.detail}; it is not shown as recorded", file=sys.stderr)
        return None


def _resynthesise(
    lm: SpiritLM, records: Sequence[Record], recordings: Mapping[str, ManifestRow]
) -> list[Example]:
    """The recordings that are known, each with what the codec makes of its codes."""
    examples = []
    for record in records:
        wav = _load(recordings.get(record.id))
        if wav is not None and record.speech is not None:
            made = Passage.spoken("", lm.codec.decode(record.speech))
            text = _passage(lm, record, 0, record.words, Modality.TEXT)
            labels = ("recording", "resynthesis", "text")
            examples.append(Example("Resynthesis", Passage.spoken("", wav), made, text, labels))
    return examples


def _continue(lm: SpiritLM, record: Record, cut: int, direction: Direction) -> Request:
    ids, target_ids = continuation(record, cut, direction.prompt, direction.target, lm.vocabulary)
    if direction.prompt is not direction.target:
        ids = np.append(ids, target_ids[:1])  # the tag
    context_ids = continuation(record, cut, Modality.SPEECH, Modality.SPEECH, lm.vocabulary)[0][2:]
    prompt = _passage(lm, record, 0, cut, direction.prompt)
    reference = _passage(lm, record, cut, record.words, direction.target)
    return Request(direction.title, ids, direction.target, Sampling(), context_ids, prompt, reference)


def _read_aloud(lm: SpiritLM, record: Record) -> Request:
    text, spoken = (
        _passage(lm, record, 0, record.words, modality) for modality in (Modality.TEXT, Modality.SPEECH)
    )
    ids = lm.format.encode([text.words], Task.SPEAK, Modality.SPEECH)
    return Request("Reading aloud", ids, Modality.SPEECH, GREEDY, ids[:0], text, spoken)


def _transcribe(lm: SpiritLM, record: Record, speech: SpeechTokens) -> Request:
    ids = lm.format.encode([speech], Task.TRANSCRIBE, Modality.TEXT)
    spoken = Passage.spoken("", lm.codec.decode(speech))
    text = _passage(lm, record, 0, record.words, Modality.TEXT)
    return Request("Transcribing", ids, Modality.TEXT, GREEDY, ids[:0], spoken, text)


def _generate(lm: SpiritLM, requests: Sequence[Request], seed: int) -> list[Passage]:
    """What the model generates. It transcribes its own speech greedily, together with what comes before."""
    new_ids = _generate_ids(lm, requests, seed)
    spoken = {
        i: speech
        for i, new in new_ids.items()
        if requests[i].target is Modality.SPEECH and len((speech := speech_of(new, lm.vocabulary)).units)
    }
    transcripts = lm.generate(
        [[np.concatenate([requests[i].context_ids, new_ids[i]])] for i in spoken], task=Task.TRANSCRIBE
    )
    passages = {
        i: Passage(" ".join(part for part in lm.format.decode(new) if isinstance(part, str)))
        for i, new in new_ids.items()
    }
    passages |= {
        i: Passage.spoken(transcript.text, lm.codec.decode(spoken[i]), transcribed=True)
        for i, transcript in zip(spoken, transcripts)
    }
    return [passages[i] for i in range(len(requests))]


def _generate_ids(lm: SpiritLM, requests: Sequence[Request], seed: int) -> dict[int, np.ndarray]:
    """New ids by the request's index. Requests of one modality and sampling are one batch."""
    new_ids: dict[int, np.ndarray] = {}
    for modality, most in ((Modality.TEXT, NEW_TEXT), (Modality.SPEECH, NEW_SPEECH_AFTER_TEXT)):
        for sampling in (Sampling(), GREEDY):
            batch = [
                i
                for i, request in enumerate(requests)
                if (request.target, request.sampling) == (modality, sampling)
            ]
            if not batch:  # a text-only model has no speech to forbid
                continue
            prompts = [requests[i].prompt_ids for i in batch]
            new_ids |= zip(batch, lm.generate_ids(prompts, modality, most, sampling, seed))
    return new_ids


def _passage(lm: SpiritLM, record: Record, first: int, last: int, modality: Modality) -> Passage:
    """Words [first, last) of a record; if spoken, resynthesised from its units."""
    words = " ".join(words_of(record, lm.tokenizer)[first:last])
    if modality is Modality.TEXT or record.speech is None:
        return Passage(words)
    times = [0.0, *record.word_start_s[1:], duration_s(record.speech, lm.vocabulary.streams)]
    part = excerpt(record.speech, times[first], times[last], lm.vocabulary.streams)
    return Passage.spoken(words, lm.codec.decode(part))
