"""A little world for tests: a tokenizer, sentences and how they would be spoken."""

import dataclasses
import functools
import tempfile
import zlib
from pathlib import Path

import numpy as np

from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Arrangement, Record
from spirit_jax.tokens.prompt_format import PromptFormat
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.text import TextTokenizer, train_tokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.generation.tiny import one_layer, random_llama
from tests.speech_codes import make_speech, make_vocabulary

NOUNS = ["fox", "cow", "hen", "dog", "cat", "owl", "pig", "bee"]
VERBS = ["saw", "met", "fed", "led", "hid", "won", "cut", "bit"]
UNITS, PITCHES, STYLES = 40, 8, 4


def sentence(number: int) -> str:
    """Sentence `number`: all differ below 4,096."""
    digits = [(number // 8**place) % 8 for place in range(4)]
    return (
        f"the {NOUNS[digits[0]]} {VERBS[digits[1]]} the {NOUNS[digits[2]]}, then the "
        f"{NOUNS[digits[3]]} {VERBS[digits[1]]} it"
    )


@functools.cache
def tokenizer() -> TextTokenizer:
    with tempfile.TemporaryDirectory() as folder:
        return train_tokenizer(
            [sentence(number) for number in range(0, 4096, 7)], 330, Path(folder) / "tokenizer.model"
        )


def vocabulary(expressive: bool = False) -> Vocabulary:
    return make_vocabulary(tokenizer().size, UNITS, PITCHES if expressive else 0, STYLES if expressive else 0)


def prompt_format(expressive: bool = False) -> PromptFormat:
    return PromptFormat(vocabulary(expressive), tokenizer(), "transcribe:", "speak:")


def record(number: int, expressive: bool = False, aligned: bool = True) -> Record:
    """Sentence `number` spoken at four units a word, with units that follow from the words."""
    words = sentence(number).split()
    text_ids, offsets = tokenizer().encode_words(words)
    units = np.concatenate(
        [np.random.default_rng(zlib.crc32(word.encode())).integers(0, UNITS, 4) for word in words]
    )
    rng = np.random.default_rng(number)
    pitch = rng.integers(0, PITCHES, -(-len(units) // 2)) if expressive else None
    style = rng.integers(0, STYLES, -(-len(units) // 25)) if expressive else None
    starts = np.arange(len(words)) * 4 / 25 if aligned else np.zeros(0)
    ends = starts + 4 / 25 if aligned else starts
    voice = f"voice{number % 2}"
    return Record(
        f"r{number}",
        "test",
        voice,
        make_speech(units, pitch, style),
        text_ids,
        offsets,
        starts.astype(np.float32),
        ends.astype(np.float32),
    )


def records(count: int, expressive: bool = False) -> list[Record]:
    return [record(number * 37, expressive) for number in range(count)]


class Tones:
    """A codec whose unit u is 40 ms of a sine of 200 + 20 u Hz; it hears them by counting."""

    streams, fingerprint = vocabulary().streams, "tones"

    def check_voice(self, speaker, style) -> None:
        """It has one voice."""

    def decode(self, speech, speaker=None, style=None) -> np.ndarray:
        turns = np.repeat((200 + 20 * speech.units) / 16_000, 640)
        return (0.5 * np.sin(2 * np.pi * np.cumsum(turns))).astype(np.float32)

    def count_settled(self, spoken) -> int:
        return len(spoken.units)

    def decode_section(self, spoken, first, last, speaker=None, style=None) -> np.ndarray:
        return self.decode(spoken)[640 * first : 640 * last]

    def encode_batch(self, wavs) -> list[SpeechTokens]:
        frames = [
            np.abs(np.fft.rfft(wav[: len(wav) // 640 * 640].reshape(-1, 640) * np.hanning(640), 16_000))
            for wav in wavs
        ]
        return [make_speech(np.clip((frame.argmax(axis=1) - 190) // 20, 0, UNITS - 1)) for frame in frames]


@functools.cache
def tiny_lm(expressive: bool = False, learned_eos: bool = True) -> SpiritLM:
    """Random weights over this world's vocabulary, and tones for a codec."""
    cfg = one_layer(vocabulary(expressive).rows())
    lm = SpiritLM(
        random_llama(cfg, 0.1), prompt_format(expressive), None, learned_eos, 64, frozenset(Arrangement)
    )
    lm.__dict__["codec"] = Tones()
    return lm


@functools.cache
def text_lm() -> SpiritLM:
    """Random weights over this world's texts alone."""
    known = Vocabulary(tokenizer().size, ())
    cfg = dataclasses.replace(tiny_lm().llama.cfg, rows=known.rows())
    texts = dataclasses.replace(prompt_format(), vocabulary=known)
    return SpiritLM(random_llama(cfg, 0.1), texts, None, True, 64, frozenset(Arrangement))
