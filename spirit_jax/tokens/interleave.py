"""An utterance, its words and their times become one training document: all of the paper's arrangements. Pure
and seeded.

Shapes: W words, N tokens of the merged speech stream, n text ids.
"""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.codes_in_force import NONE, codes_in_force
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.vocabulary import Modality, Vocabulary, merge


class Arrangement(enum.Enum):
    """How a record becomes a training sequence (paper, section 3.2 and table 6)."""

    INTERLEAVED = "interleaved"
    SPEECH = "speech"
    TEXT = "text"
    ASR = "asr"
    TTS = "tts"
    WORD_TRANSCRIPTION = "word_transcription"

    @property
    def needs_word_times(self) -> bool:
        """Whether it cuts records at words."""
        return self in (Arrangement.INTERLEAVED, Arrangement.WORD_TRANSCRIPTION)


@dataclasses.dataclass(frozen=True)
class Record:
    """One utterance, or one text.

    text_ids: int32 [n], the words' tokens one after another; word w is
    text_ids[word_offsets[w]:word_offsets[w+1]]. word_offsets: int32 [W+1], empty for a text that was
    tokenised whole and cannot be cut: then W is 0. word_start_s, word_end_s: float32
    [W] in seconds, empty when unaligned.
    """

    id: str
    source: str
    voice: str
    speech: SpeechTokens | None
    text_ids: np.ndarray
    word_offsets: np.ndarray
    word_start_s: np.ndarray
    word_end_s: np.ndarray

    def __post_init__(self):
        if len(self.word_start_s) not in (0, self.words):
            raise UserError(
                f"record {self.id} word times",
                len(self.word_start_s),
                f"there are {self.words} words",
                "align it again",
            )

    @property
    def words(self) -> int:
        """W, the number of words."""
        return max(len(self.word_offsets) - 1, 0)

    @property
    def spoken(self) -> bool:
        """Whether there are units."""
        return self.speech is not None and len(self.speech.units) > 0

    @property
    def aligned(self) -> bool:
        """Whether words have times in the speech."""
        return self.spoken and len(self.word_start_s) > 0


@dataclasses.dataclass(frozen=True)
class Spans:
    """Lengths of the alternating spans in words, both ends included (paper appendix A), and how often speech
    comes first (a choice).

    poisson: mean words of text and of speech, in place of the limits: lengths follow Poisson's distribution,
    and are at least 1. (70 / 3, 10) gives speech of 10 words over 30 % of the words, as others draw them.
    """

    text: tuple[int, int] = (10, 30)
    speech: tuple[int, int] = (5, 15)
    speech_first: float = 0.5
    poisson: tuple[float, float] | None = None

    def draw(self, modality: Modality, rng: np.random.Generator) -> int:
        """Words of the next span of a modality."""
        if self.poisson is not None:
            return max(1, int(rng.poisson(self.poisson[modality is Modality.SPEECH])))
        low, high = self.speech if modality is Modality.SPEECH else self.text
        return int(rng.integers(low, high + 1))


def arrange(
    record: Record,
    arrangement: Arrangement,
    vocabulary: Vocabulary,
    spans: Spans,
    rng: np.random.Generator | Sequence[int],
    asr_marker_ids: Sequence[int] = (),
    tts_marker_ids: Sequence[int] = (),
    append_eos: bool = True,
) -> list[np.ndarray]:
    """The record's documents, each int32 ids from BOS to EOS (no EOS without `append_eos`); usually one.

    rng: a generator, or the seed of one.

    INTERLEAVED         BOS, then text and speech spans in turn, a tag before each [P App. A]
    SPEECH              BOS [Speech] stream
    TEXT                BOS [Text] text (a text-only vocabulary has no tag)
    ASR                 BOS [Speech] stream [Text] marker text [P T6]
    TTS                 BOS [Text] marker text [Speech] stream [P T6]
    WORD_TRANSCRIPTION  BOS, then for each word [Speech] its stream [Text] its text [P T6]

    A record without word times gives its speech and its text as two documents where the arrangement needs
    them (a choice). A part that is missing gives no document: none at all for SPEECH without speech, TEXT
    without text, ASR and TTS without both.
    """
    ends = [vocabulary.eos] if append_eos else []
    if arrangement.needs_word_times and record.aligned:
        if arrangement is Arrangement.INTERLEAVED:
            parts = _interleave(record, vocabulary, spans, np.random.default_rng(rng))
        else:
            parts = [_transcribe(record, vocabulary)]
        return [_document(vocabulary, parts, ends)]
    speech = (
        []
        if not record.spoken or arrangement is Arrangement.TEXT
        else [[vocabulary.speech_tag], _Stream(record, vocabulary).ids_N]
    )
    tag = [vocabulary.text_tag] if vocabulary.has_speech else []
    text = [] if not len(record.text_ids) or arrangement is Arrangement.SPEECH else [tag, record.text_ids]
    if arrangement in (Arrangement.ASR, Arrangement.TTS):
        if not speech or not text:
            return []
        asr = arrangement is Arrangement.ASR
        text.insert(1, asr_marker_ids if asr else tts_marker_ids)
        return [_document(vocabulary, speech + text if asr else text + speech, ends)]
    return [_document(vocabulary, parts, ends) for parts in (speech, text) if parts]


def continuation(
    record: Record,
    word_index: int,
    prompt_modality: Modality,
    target_modality: Modality,
    vocabulary: Vocabulary,
) -> tuple[np.ndarray, np.ndarray]:
    """A record cut before word `word_index`: (prompt ids, target ids), int32, for scoring continuations.

    The prompt is BOS, tag, first part; the target the second part, after its tag if the modality changes; no
    EOS. With speech in it, the cut must be one of `boundaries(record, vocabulary)`.
    """
    allowed = range(1, record.words)
    if Modality.SPEECH in (prompt_modality, target_modality):
        allowed = boundaries(record, vocabulary)
    if word_index not in allowed:
        raise UserError(
            f"record {record.id} word index",
            word_index,
            f"must be one of {list(allowed)}",
            "cut at one of boundaries(record)",
        )
    changes = prompt_modality is not target_modality
    cutter = _Cutter(record, vocabulary)
    prompt = [[vocabulary.bos], *cutter.span(prompt_modality, 0, word_index, tagged=True)]
    return _concatenate(prompt), _concatenate(
        cutter.span(target_modality, word_index, record.words, tagged=changes)
    )


def boundaries(record: Record, vocabulary: Vocabulary) -> np.ndarray:
    """Words before which an aligned record can be cut: int [..], ascending, within 1..W-1.

    Not before a word that shares its time with the one before, or where a side would hold no unit of its own:
    a spoken span is never empty. A record without word times has none.
    """
    if not record.aligned:
        return np.zeros(0, np.int64)
    return np.flatnonzero(_Cutter(record, vocabulary).allowed_W1)[1:-1]


class _Stream:
    """A record's merged speech tokens as ids."""

    def __init__(self, record: Record, vocabulary: Vocabulary):
        if record.speech is None:
            raise UserError(f"record {record.id} speech", None, "is missing", "choose a record with speech")
        self.stream_N, code_N, self.time_N = merge(record.speech, vocabulary.streams)
        self.ids_N = vocabulary.encode_stream(self.stream_N, code_N)


class _Cutter:
    """Cuts a record's text and merged stream at word boundaries.

    A token belongs to the word in whose [start, next word's start) its time falls; tokens before the first
    word belong to that word (our choice). cut_W1[w] is the first token of word w; allowed_W1[w] whether a
    span may begin or end there.
    """

    def __init__(self, record: Record, vocabulary: Vocabulary):
        self.record, self.vocabulary = record, vocabulary
        if not record.aligned:
            return
        self.stream = _Stream(record, vocabulary)
        count = len(self.stream.ids_N)
        cut_W1 = np.empty(record.words + 1, np.int64)
        cut_W1[:-1] = self.stream.time_N.searchsorted(np.maximum.accumulate(record.word_start_s))
        cut_W1[0], cut_W1[-1] = 0, count
        self.at = [np.flatnonzero(self.stream.stream_N == i) for i in range(len(vocabulary.streams))]
        units_W1 = self.at[0].searchsorted(cut_W1)
        self.cut_W1 = cut_W1
        self.allowed_W1 = np.ones(record.words + 1, bool)
        self.allowed_W1[1:-1] = (units_W1[1:-1] > units_W1[:-2]) & (units_W1[1:-1] < units_W1[-1])

    def span(self, modality: Modality, first: int, last: int, tagged: bool) -> list:
        """Parts of words [first, last) in a modality, for concatenation, after its tag if `tagged`."""
        if modality is Modality.TEXT:
            tag = [self.vocabulary.text_tag] if tagged and self.vocabulary.has_speech else []
            offsets = self.record.word_offsets
            return [tag, self.record.text_ids[offsets[first] : offsets[last]]]
        begin, end = self.cut_W1[first], self.cut_W1[last]
        if not tagged:
            return [self.stream.ids_N[begin:end]]
        codes = self.codes_before(np.array([begin]))[0]
        return [[self.vocabulary.speech_tag], codes[codes != NONE], self.stream.ids_N[begin:end]]

    def codes_before(self, begin_G: np.ndarray) -> np.ndarray:
        """The ids that speech from each of these tokens on repeats: int32 [G, streams - 1], some of them
        NONE.
        """
        return codes_in_force(self.stream.ids_N, self.at, begin_G)


def _interleave(record: Record, vocabulary: Vocabulary, spans: Spans, rng: np.random.Generator) -> list:
    cutter = _Cutter(record, vocabulary)
    modality = Modality.SPEECH if rng.random() < spans.speech_first else Modality.TEXT
    parts, first, words = [], 0, record.words
    while first < words:
        wanted = min(first + spans.draw(modality, rng), words)
        last = wanted + int(cutter.allowed_W1[wanted:].argmax())
        parts += cutter.span(modality, first, last, tagged=True)
        modality = Modality.TEXT if modality is Modality.SPEECH else Modality.SPEECH
        first = last
    return parts


def _transcribe(record: Record, vocabulary: Vocabulary) -> np.ndarray:
    """The words in turn, each as speech and as text: int32 [..].

    Words between which speech can't be cut stay together. All parts of G words are laid out one after
    another, then sorted by word and part.
    """
    cutter = _Cutter(record, vocabulary)
    bound_G1 = np.flatnonzero(cutter.allowed_W1)
    cut_G1, offset_G1 = cutter.cut_W1[bound_G1], record.word_offsets[bound_G1]
    word_G = np.arange(len(bound_G1) - 1)
    code_GS = cutter.codes_before(cut_G1[:-1])
    parts = (  # ids, and the word of each
        (np.full(len(word_G), vocabulary.speech_tag), word_G),
        (code_GS.ravel(), np.repeat(word_G, code_GS.shape[1])),
        (cutter.stream.ids_N, np.repeat(word_G, np.diff(cut_G1))),
        (np.full(len(word_G), vocabulary.text_tag), word_G),
        (record.text_ids, np.repeat(word_G, np.diff(offset_G1))),
    )
    words = [word * len(parts) + part for part, (_, word) in enumerate(parts)]
    ids = _concatenate([ids for ids, _ in parts])[np.argsort(np.concatenate(words), kind="stable")]
    return ids[ids != NONE]


def _document(vocabulary: Vocabulary, parts: list, ends: list[int]) -> np.ndarray:
    return _concatenate([[vocabulary.bos], *parts, ends])


def _concatenate(parts: list) -> np.ndarray:
    return np.concatenate([np.asarray(part, np.int32) for part in parts])
