"""Token strings such as `[St71][Pi39][Hu99]`: speech and merged streams to strings and back.

How a string is read (observed in Meta's release): it is split at each `[`. A part counts if it begins with
the mark of a stream and then a digit; all other parts are skipped. Each unit takes the code of every other
stream before it, or, where there is none yet, the first of the whole string.

Shapes: N tokens of a merged stream (see `vocabulary`), U units.
"""

import re
from collections.abc import Callable

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import UNITS, SpeechTokens, SpokenUnits, Streams
from spirit_jax.tokens.vocabulary import TokenClass, Vocabulary, merge


def render(speech: SpeechTokens, streams: Streams) -> str:
    """The string of an utterance, as a language model reads it."""
    return render_stream(*merge(speech, streams)[:2], streams)


def render_stream(stream_N: np.ndarray, code_N: np.ndarray, streams: Streams) -> str:
    """The string of a merged stream, token by token; `parse_stream` is its inverse."""
    if len(code_N) and code_N.min() < 0:
        raise UserError("speech code", int(code_N.min()), "must not be negative", "drop or correct it")
    marks = [stream.mark for stream in streams]
    return "".join(f"[{marks[stream]}{code}]" for stream, code in zip(stream_N.tolist(), code_N.tolist()))


def parse(string: str, streams: Streams) -> SpokenUnits:
    """The units in a string, and of every other stream that it mentions one code for each unit;
    see `carry`.
    """
    return carry(*parse_stream(string, streams), streams)


def parse_stream(string: str, streams: Streams) -> tuple[np.ndarray, np.ndarray]:
    """The speech tokens in a string, tags and text skipped: (stream_N int8, code_N int32).

    UserError for a token whose value is no number below 10^9, such as `[Hu1a]`, and for one without its `]`.
    """
    index_of = {stream.mark: index for index, stream in enumerate(streams)}
    mark = re.compile(
        "|".join(sorted(index_of, key=len, reverse=True)) or "(?!)"
    )  # without streams: no match
    indices, codes = [], []
    for part in string.split("["):
        match = mark.match(part)
        if match is None or not part[match.end() : match.end() + 1].isdigit():
            continue
        value = part[match.end() : -1]
        if not (part.endswith("]") and value.isascii() and value.isdecimal() and len(value) < 10):
            rule = "must be a number and end in ], and text after it must begin with [Text]"
            raise UserError("speech token", f"[{part[:20]}", rule, "correct the string")
        indices.append(index_of[match[0]])
        codes.append(int(value))
    return np.array(indices, np.int8), np.array(codes, np.int32)


def find_tokens(text: str, streams: Streams) -> list[re.Match]:
    """Where a text spells tokens: tags, and marks of the streams with a number, such as `[Hu12]`."""
    marks = "|".join(stream.mark for stream in streams) or "(?!)"  # without streams: no match
    return list(re.finditer(rf"\[(?:Text|Speech|(?:{marks})[0-9]+)\]", text))


def carry(stream_N: np.ndarray, code_N: np.ndarray, streams: Streams) -> SpokenUnits:
    """A merged stream's units, each with the code in force of every other stream that occurs.

    Without any unit all streams are empty.
    """
    unit_N = stream_N == 0
    earlier_N = np.cumsum(unit_N, dtype=np.int64) - unit_N  # units before each token
    count = int(np.count_nonzero(unit_N))
    codes = {UNITS: code_N[unit_N]}
    for index, stream in enumerate(streams[1:], 1):
        at_K = np.flatnonzero(stream_N == index)
        if len(at_K):
            first_K = earlier_N[at_K]
            first_K[0] = 0  # the first code also serves the units before it
            codes[stream.name] = code_N[np.repeat(at_K, np.diff(first_K, append=count))]
    return SpokenUnits(codes)


def render_document(ids: np.ndarray, vocabulary: Vocabulary, decode: Callable[[np.ndarray], str]) -> str:
    """The string of a document: `[Text]the cat[Speech][Hu3]`, without BOS and EOS, which readers of strings
    add themselves. decode: text ids to text.
    """
    tags = {vocabulary.text_tag: "[Text]", vocabulary.speech_tag: "[Speech]"} if vocabulary.has_speech else {}
    begins = 1 if len(ids) and ids[0] == vocabulary.bos else 0
    ends = len(ids) - (len(ids) > begins and ids[-1] == vocabulary.eos)
    inner = ids[begins:ends]
    class_N = vocabulary.classes_of(inner)
    parts = []
    for run in np.split(inner, np.flatnonzero(np.diff(class_N)) + 1) if len(inner) else ():
        kind = vocabulary.classes_of(run[:1])[0]
        if kind == TokenClass.TAG:
            parts += [tags[id] for id in run.tolist()]
        elif kind == TokenClass.SPEECH:
            parts.append(render_stream(*vocabulary.decode_stream(run), vocabulary.streams))
        else:
            parts.append(decode(run))
    return "".join(parts)
