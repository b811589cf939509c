"""Reads the fields of a SentencePiece model file that the package's Python API lacks, from the protobuf wire
format.

The package's own protobuf module needs a newer protobuf than Apache Beam accepts.
"""

import dataclasses
import enum
import struct
from collections.abc import Iterator
from typing import Any

from spirit_jax.core.errors import UserError

MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "character"}  # TrainerSpec.ModelType
PIECES, TRAINER, NORMALIZER, DENORMALIZER = 1, 2, 3, 5  # fields of ModelProto
# the fields that the sentencepiece package knows; others may change what it makes of a text
KNOWN = {
    "ModelProto": {PIECES, TRAINER, NORMALIZER, 4, DENORMALIZER},
    "SentencePiece": {1, 2, 3},
    "TrainerSpec": {*range(1, 8), *range(10, 27), *range(30, 37), *range(40, 56)},
    "NormalizerSpec": set(range(1, 7)),
}


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
    """What a conversion needs. obstacles: what `from_sentencepiece` cannot express, each as the end of a
    sentence about the file.
    """

    pieces: tuple[Piece, ...]
    byte_fallback: bool
    add_dummy_prefix: bool
    obstacles: tuple[str, ...]


def read(content: bytes) -> SentencePieceFile:
    """Parses a `tokenizer.model`. UserError for a field that the sentencepiece package does not know. Other
    bytes raise IndexError or struct.error.
    """
    pieces, specs = [], {TRAINER: {}, NORMALIZER: {}, DENORMALIZER: {}}
    for number, value in _known_fields(content, "ModelProto"):
        if number == PIECES:
            piece = dict(_known_fields(value, "SentencePiece"))
            score = struct.unpack("<f", piece.get(2, bytes(4)))[0]
            pieces.append(Piece(piece[1].decode(), score, PieceType(piece.get(3, 1))))
        elif number in specs:
            kind = "TrainerSpec" if number == TRAINER else "NormalizerSpec"
            specs[number] = dict(_known_fields(value, kind))
    trainer, normalizer = specs[TRAINER], specs[NORMALIZER]
    obstacles = _obstacles(pieces, trainer, normalizer, specs[DENORMALIZER])
    return SentencePieceFile(tuple(pieces), bool(trainer.get(35, 0)), bool(normalizer.get(3, 1)), obstacles)


def _obstacles(pieces: list[Piece], trainer: dict, normalizer: dict, denormalizer: dict) -> tuple[str, ...]:
    """By the fields' numbers, whose defaults are sentencepiece's."""
    model_type = MODEL_TYPES.get(trainer.get(3, 1), "unknown")
    found = {
        f"is a model of type {model_type}": model_type != "BPE",
        "normalises text": bool(normalizer.get(2)),
        "removes extra spaces": bool(normalizer.get(4, 1)),
        "does not mark spaces": not normalizer.get(5, 1),
        "writes the space after a word": bool(trainer.get(24, 0)),
        "changes the text that it decodes": bool(denormalizer.get(2)),
        "has user-defined pieces": any(piece.type == PieceType.USER_DEFINED for piece in pieces),
    }
    return tuple(text for text, holds in found.items() if holds)


def _known_fields(content: bytes, message: str) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message. UserError for an unknown one."""
    for number, value, _ in _fields(content):
        if number not in KNOWN[message]:
            rule = "is a field that the sentencepiece package does not know"
            raise UserError("tokenizer.model", f"{message} {number}", rule, "convert without this tokenizer")
        yield number, value


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
