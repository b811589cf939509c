"""Reads the fields of a SentencePiece model file that the package's Python API lacks, from the protobuf wire
format.

The package's own protobuf module needs a newer protobuf than Apache Beam accepts.
"""

import dataclasses
import enum
import struct
from collections.abc import Iterator
from typing import Any

BPE = 2  # TrainerSpec.ModelType


class PieceType(enum.IntEnum):
    """ModelProto.SentencePiece.Type."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece. Pieces of higher score are merged first."""

    text: str
    score: float
    type: PieceType


@dataclasses.dataclass(frozen=True)
class SentencePieceFile:
    """What a conversion needs. plain: text is not normalised, and extra spaces are kept."""

    pieces: tuple[Piece, ...]
    is_bpe: bool
    byte_fallback: bool
    add_dummy_prefix: bool
    plain: bool


def read(content: bytes) -> SentencePieceFile:
    """Parses a `tokenizer.model`. Other bytes raise IndexError or struct.error."""
    pieces, trainer, normalizer = [], {}, {}
    for number, value, _ in _fields(content):
        if number == 1:
            piece = {n: v for n, v, _ in _fields(value)}
            pieces.append(
                Piece(
                    piece[1].decode(),
                    struct.unpack("<f", piece.get(2, bytes(4)))[0],
                    PieceType(piece.get(3, 1)),
                )
            )
        elif number == 2:
            trainer = {n: v for n, v, _ in _fields(value)}
        elif number == 3:
            normalizer = {n: v for n, v, _ in _fields(value)}
    plain = not normalizer.get(2) and not normalizer.get(4, 1)
    return SentencePieceFile(
        tuple(pieces), trainer.get(3, 1) == BPE, bool(trainer.get(35, 0)), bool(normalizer.get(3, 1)), plain
    )


def cut(content: bytes, count: int) -> bytes:
    """The file with only its first `count` pieces."""
    kept, seen = [], 0
    for number, _, raw in _fields(content):
        seen += number == 1
        if number != 1 or seen <= count:
            kept.append(raw)
    return b"".join(kept)


def _fields(content: bytes) -> Iterator[tuple[int, Any, bytes]]:
    """(number, value, raw bytes) of each field of a message. A value is an int or bytes."""
    at = 0
    while at < len(content):
        start = at
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
        else:
            size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _varint(content, at)
            value, at = content[at : at + size], at + size
        yield tag >> 3, value, content[start:at]


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
