"""Token strings such as `[St71][Pi39][Hu99]`: speech, streams and ids to strings and back, with every quirk
of the published release.

How a string is read (observed): it is split at each `[`. A piece counts if it begins with Hu, Pi or St and
then a digit; its value is the rest without its last character, whatever that is, so `[Hu12]hello` holds
`12]hell`. All other pieces are passed over. Each unit takes the pitch and style before it, or, where there is
none yet, the first of the whole string.

Shapes: N tokens of a stream (see `vocab`), U units.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import (
    MISSING_STYLES,
    PITCH_RATE,
    STYLE_RATE,
    UNIT_TIME_RATE,
    SpeechTokens,
    SpokenUnits,
)
from spirit_jax.tokens.vocabulary import MARKS, Kind, Vocabulary, merge_streams

_KIND_OF = {mark: Kind(kind) for kind, mark in enumerate(MARKS)}
_BLOCK = 1 << 18
_DIGITS = 4  # codes of up to so many digits take the vectorised way
_PROMPT_TOKEN = re.compile(r"\[(?:(Text|Speech)|(Hu|Pi|St)(0|[1-9][0-9]*))\]")


def render(speech: SpeechTokens, deduplicate: bool = True) -> str:
    """The string of an utterance; without `deduplicate` every unit and pitch is kept, so that nothing is
    lost.
    """
    empty = np.zeros(0, np.int32)
    style = empty if speech.style is None else speech.style
    pitch = empty if speech.pitch is None else speech.pitch
    streams = (
        (style, STYLE_RATE, False),
        (pitch, PITCH_RATE, deduplicate),
        (speech.units, UNIT_TIME_RATE, deduplicate),
    )
    return render_stream(*merge_streams(streams)[:2])


def render_stream(kind_N: np.ndarray, code_N: np.ndarray) -> str:
    """The string of a stream, token by token; `parse_stream` is its inverse. A negative code is a
    UserError.
    """
    if not len(code_N):
        return ""
    if code_N.min() < 0:
        raise UserError("speech code", int(code_N.min()), "must not be negative", "drop or mend it")
    if code_N.max() >= 10**_DIGITS:
        return "".join(f"[{MARKS[kind]}{code}]" for kind, code in zip(kind_N, code_N))
    byte_N8 = _token_bytes()[kind_N, code_N].view(np.uint8)
    return byte_N8[byte_N8 != 0].tobytes().decode("ascii")


@functools.cache
def _token_bytes() -> np.ndarray:
    """Each token's eight bytes, zero-padded: uint64 [kinds, 10000]."""
    table = np.array([[f"[{mark}{code}]" for code in range(10**_DIGITS)] for mark in MARKS], "S8")
    return table.view(np.uint64)


def parse(string: str, repeat_units: bool = False, missing_style: int | None = None) -> SpokenUnits:
    """The units in a string and, where it has pitch or style, one code of each for every unit.
    See `carry`.
    """
    return carry(*parse_stream(string), repeat_units, missing_style)


def parse_stream(string: str) -> tuple[np.ndarray, np.ndarray]:
    """The speech tokens in a string, tags and text passed over: (kind_N int8, code_N int32).

    A token whose value is no number below 10^9, such as `[Hu1a]`, is a UserError; `string_to_units` keeps
    even those.
    """
    stream = _parse_fast(string) if string.isascii() else None
    if stream is not None:
        return stream
    kind_N, values = _split(string)
    for kind, value in zip(kind_N, values):
        if not (value.isascii() and value.isdecimal() and len(value) < 10):
            rule = "must hold a number, and text behind it begin with [Text]"
            raise UserError("speech token", f"[{MARKS[kind]}{value[:20]}]", rule, "mend the string")
    return kind_N, np.array([int(value) for value in values], np.int32)


def _parse_fast(string: str) -> tuple[np.ndarray, np.ndarray] | None:
    """`parse_stream` in whole arrays, or None if some token isn't `[`, mark, one to four digits, `]`."""
    kinds, codes = [], []
    for block in _blocks(string):
        stream = _parse_block(block)
        if stream is None:
            return None
        kinds.append(stream[0])
        codes.append(stream[1])
    return np.concatenate(kinds), np.concatenate(codes)


def _blocks(string: str) -> Iterator[str]:
    """Cuts a long string before a `[`, so that the arrays of a part stay in the processor's cache."""
    begin = 0
    while len(string) - begin > _BLOCK and (end := string.rfind("[", begin + 1, begin + _BLOCK)) > 0:
        yield string[begin:end]
        begin = end
    yield string[begin:]


def _parse_block(string: str) -> tuple[np.ndarray, np.ndarray] | None:
    """One block of S bytes, P pieces."""
    byte_S = np.frombuffer(
        (string if string.startswith("[") else "[" + string).encode("ascii") + b"[" + bytes(7), np.uint8
    )
    open_P = np.flatnonzero(byte_S == ord("["))
    eight_S = np.ndarray(len(byte_S) - 7, "<u8", byte_S, strides=(1,))  # the eight bytes from each byte on
    word_P = eight_S[open_P[:-1]]
    kind_P = _mark_kinds().take((word_P >> 8).astype(np.uint16))
    digits_P = np.diff(open_P) - len("[Hu]")
    text_P = (word_P >> 24).astype(np.uint32)
    code_P, number_P = _read_digits(text_P, digits_P)
    token_P = (kind_P >= 0) & ((text_P & 0xFF) - ord("0") < 10)
    wellformed_P = number_P & (digits_P >= 1) & (digits_P <= _DIGITS) & (byte_S[open_P[1:] - 1] == ord("]"))
    if not token_P.all():
        kind_P, code_P, wellformed_P = kind_P[token_P], code_P[token_P], wellformed_P[token_P]
    return (kind_P, code_P) if wellformed_P.all() else None


def _read_digits(text_P: np.ndarray, digits_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number in the first `digits_P` of four characters, uint32 with the first lowest, and whether it is
    one.

    The four are worked on at once, a byte each.
    """
    # values 0 to 9, the last digit in the highest byte
    digit_P = (text_P ^ 0x30303030) << (32 - 8 * digits_P).astype(np.uint32)
    number_P = ((digit_P | (digit_P + 0x06060606)) & 0xF0F0F0F0) == 0
    pair_P = (digit_P * 10 + (digit_P >> 8)) & 0x00FF00FF
    return ((pair_P * 100 + (pair_P >> 16)) & 0xFFFF).astype(np.int32), number_P


@functools.cache
def _mark_kinds() -> np.ndarray:
    """Kind by a mark's two bytes as one little-endian number, -1 for no mark: int8 [65536]."""
    table = np.full(1 << 16, -1, np.int8)
    for mark, kind in _KIND_OF.items():
        table[int.from_bytes(mark.encode(), "little")] = kind
    return table


def _split(string: str) -> tuple[np.ndarray, list[str]]:
    """The rule at the top of this module: (kind_N int8, values)."""
    pieces = [piece for piece in string.split("[") if piece[:2] in _KIND_OF and piece[2:3].isdigit()]
    return np.array([_KIND_OF[piece[:2]] for piece in pieces], np.int8), [piece[2:-1] for piece in pieces]


def carry(
    kind_N: np.ndarray, code_N: np.ndarray, repeat_units: bool = False, missing_style: int | None = None
) -> SpokenUnits:
    """A stream's units with pitch and style carried onto each.

    With `repeat_units` a unit is said once more for each further pitch that follows a pitch. Pitch without
    style gets `missing_style`, or none at all. Repeated pitches without any unit are a UserError. For ids:
    `carry(*vocabulary.decode_stream(ids))`.
    """
    style_U, pitch_U, unit_U = _carried(kind_N, repeat_units)
    if unit_U is None and pitch_U is not None and len(pitch_U):
        raise UserError("speech string", "pitch only", "has no unit to say", "give at least one [Hu..]")
    units = code_N[:0] if unit_U is None else code_N[unit_U]
    pitch = None if pitch_U is None else code_N[pitch_U]
    style = None if style_U is None else code_N[style_U]
    if pitch is not None and style is None and missing_style is not None:
        style = np.full(len(units), missing_style, np.int32)
    return SpokenUnits(units, pitch, style)


def _carried(kind_N: np.ndarray, repeat_units: bool) -> tuple[np.ndarray | None, ...]:
    """For each kind, in order, the token that each row takes its value from: int [rows], or None if the kind
    never occurs.
    """
    row_N = kind_N == Kind.UNIT
    if repeat_units:
        spoken = np.flatnonzero(kind_N != Kind.STYLE)
        pitch = kind_N[spoken] == Kind.PITCH
        row_N[spoken[1:][pitch[1:] & pitch[:-1]]] = True
    earlier_N = np.cumsum(row_N, dtype=np.int32) - row_N  # rows before each token
    rows = int(np.count_nonzero(row_N))
    return tuple(_serve(np.flatnonzero(kind_N == kind), earlier_N, rows) for kind in Kind)


def _serve(place_K: np.ndarray, earlier_N: np.ndarray, rows: int) -> np.ndarray | None:
    """Each row's latest of the tokens at `place_K`, the first of them also serving the rows before it."""
    if not len(place_K):
        return None
    first_K = earlier_N[place_K]
    first_K[0] = 0
    return np.repeat(place_K, np.diff(first_K, append=np.int32(rows)))


def units_to_string(
    units: Mapping[str, str],
    hubert_dedup: bool = True,
    pitch_dedup: bool = True,
    style_dedup: bool = False,
    hubert_key: str = "hubert",
    pitch_key: str = "pitch",
    style_key: str = "style",
    has_pitch: bool = False,
    has_style: bool = False,
    hubert_rate: float = UNIT_TIME_RATE,
    pitch_rate: float = PITCH_RATE,
    style_rate: float = STYLE_RATE,
) -> str:
    """`render` for the published release's form of units: codes as words of a string, taken letter by letter
    (`007` is not `7`).

    A missing key raises KeyError. Rates in Hz.
    """
    streams = [
        (np.array(units[key].split() if present else [], object), rate, dedup)
        for key, present, rate, dedup in (
            (style_key, has_style, style_rate, style_dedup),
            (pitch_key, has_pitch, pitch_rate, pitch_dedup),
            (hubert_key, True, hubert_rate, hubert_dedup),
        )
    ]
    kind_N, code_N, _ = merge_streams(streams)
    return "".join(f"[{MARKS[kind]}{code}]" for kind, code in zip(kind_N, code_N))


def string_to_units(
    string: str,
    duplicate_hubert_for_multiple_pitch: bool = False,
    hubert_key: str = "hubert",
    pitch_key: str = "pitch",
    style_key: str = "style",
    missing_style: int = MISSING_STYLES[0],
) -> dict[str, str]:
    """`parse` into the published release's form of units; values are kept letter by letter.

    Repeated pitches without any unit raise TypeError, as there.
    """
    kind_N, values = _split(string)
    style_U, pitch_U, unit_U = _carried(kind_N, duplicate_hubert_for_multiple_pitch)
    if unit_U is None and pitch_U is not None and len(pitch_U):
        raise TypeError("pitch without any unit")

    def words(index_U: np.ndarray | None) -> str:
        return "" if index_U is None else " ".join(values[index] for index in index_U)

    units = {hubert_key: words(unit_U)}
    if pitch_U is not None:
        units[pitch_key] = words(pitch_U)
    if style_U is not None:
        units[style_key] = words(style_U)
    elif pitch_U is not None:
        units[style_key] = " ".join([str(missing_style)] * len(pitch_U))
    return units


def parse_prompt(string: str, vocabulary: Vocabulary, encode: Callable[[str], Sequence[int]]) -> np.ndarray:
    """Ids of a prompt string, int32, without BOS: `[Text]`, `[Speech]`, `[Hu3]`.. become their tokens, the
    rest goes through `encode`.

    Only for strings meant as prompts; typed text belongs in `encode` alone. A code that the vocabulary lacks
    is a UserError.
    """
    parts, end = [], 0
    for match in _PROMPT_TOKEN.finditer(string):
        if match.start() > end:
            parts.append(encode(string[end : match.start()]))
        tag, mark, code = match.groups()
        if tag:
            parts.append([vocabulary.text_tag if tag == "Text" else vocabulary.speech_tag])
        else:
            parts.append(vocabulary.encode_stream(np.array([_KIND_OF[mark]]), np.array([int(code)])))
        end = match.end()
    if end < len(string):
        parts.append(encode(string[end:]))
    return np.concatenate([np.zeros(0, np.int32), *(np.asarray(part, np.int32) for part in parts)])
