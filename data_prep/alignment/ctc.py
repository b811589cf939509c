"""Word times by a wav2vec 2.0 network with a CTC head: any language of the network, recordings of any length.

Legend: T frames, V vocabulary, L tokens.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.alignment.spelling import Spelled
from data_prep.alignment.times import Aligned, NotAligned, Timed, assemble
from data_prep.alignment.viterbi import align_batch, least_frames
from spirit_jax.speech.encoders.wav2vec2.ctc import Wav2Vec2CTC
from spirit_jax.tokens.streams import SAMPLE_RATE

DELIMITER = "|"  # between words, in vocabularies that have it


def align_with_ctc(
    model: Wav2Vec2CTC, wavs: Sequence[np.ndarray], texts: Sequence[Sequence[Spelled]]
) -> list[Aligned | NotAligned]:
    """Word times of mono 16 kHz wavs, or the reason why there are none. Each word has its first reading."""
    names = [text_tokens(text, model.vocabulary) for text in texts]
    emissions = model.emissions(wavs)
    paths = align_batch(emissions, [tokens_L for tokens_L, _ in names], model.blank)
    return [
        _align(text, *name, e_TV, path_T, model, len(wav) / SAMPLE_RATE)
        for text, name, e_TV, path_T, wav in zip(texts, names, emissions, paths, wavs)
    ]


def _align(
    text: Sequence[Spelled],
    tokens_L: np.ndarray,
    spans: Sequence[range],
    e_TV: np.ndarray,
    path_T: np.ndarray | None,
    model: Wav2Vec2CTC,
    seconds: float,
) -> Aligned | NotAligned:
    if not len(tokens_L):
        return NotAligned("no_spoken_words", "no word of its text is spoken, or none has known characters")
    if path_T is None:
        detail = f"{len(e_TV)} frames, its {len(tokens_L)} characters need {least_frames(tokens_L)}"
        return NotAligned("too_little_sound", detail)
    said_T = np.where(path_T % 2, tokens_L[np.minimum(path_T // 2, len(tokens_L) - 1)], model.blank)
    likelihood_T = e_TV[np.arange(len(path_T)), said_T]
    return assemble(text, word_times(path_T, likelihood_T, spans, model.frame_seconds), seconds)


def word_times(
    path_T: np.ndarray, likelihood_T: np.ndarray, spans: Sequence[range], frame_seconds: float
) -> list[Timed | None]:
    """The time of each word, from the first frame of its first token to the last frame of its last one; None
    for a word without tokens. spans: the tokens of each word.

    A word's score is the geometric mean of the probabilities of its frames.
    """
    times: list[Timed | None] = []
    for span in spans:
        if not span:
            times.append(None)
            continue
        first = int(np.searchsorted(path_T, 2 * span[0] + 1))
        last = int(np.searchsorted(path_T, 2 * span[-1] + 1, side="right"))
        score = float(np.exp(likelihood_T[first:last].mean()))
        times.append(Timed(first * frame_seconds, last * frame_seconds, score))
    return times


def text_tokens(text: Sequence[Spelled], vocabulary: Mapping[str, int]) -> tuple[np.ndarray, list[range]]:
    """Ids of a text's characters, int32 [L], and which of them are a word's."""
    between = [vocabulary[DELIMITER]] if DELIMITER in vocabulary else []
    tokens: list[int] = []
    spans = []
    for word in text:
        said = (word.readings or [()])[0]
        parts = [ids for part in said if (ids := _characters(part, vocabulary))]
        first = len(tokens) + len(between) * bool(tokens)
        for ids in parts:
            tokens += [*(between if tokens else []), *ids]
        spans.append(range(first, len(tokens)) if parts else range(0))
    return np.array(tokens, np.int32), spans


def _characters(word: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Ids of a spoken word: as it is, without accents, or romanised, whichever the vocabulary has first."""
    for form in (lambda: word, lambda: _without_accents(word), lambda: _romanize(word)):
        written = form()
        ids = [vocabulary.get(c, vocabulary.get(c.upper(), -1)) for c in written]
        if ids and -1 not in ids:
            return ids
    return []


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


@functools.cache
def _romanizer():
    try:
        from uroman import Uroman  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return Uroman()


@functools.lru_cache(maxsize=1 << 16)
def _romanize(word: str) -> str:
    """In Latin letters, where uroman is installed; otherwise empty."""
    romanizer = _romanizer()
    if romanizer is None or word.isascii():
        return ""
    return re.sub("[^a-z']", "", romanizer.romanize_string(word).lower())
