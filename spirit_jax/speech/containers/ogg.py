"""Ogg files page by page: streams that are cut or joined, and FLAC inside Ogg as plain FLAC."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spirit_jax.speech.containers import JOINED, Fault

PAGE = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, serial, number, checksum, segments
FIRST, LAST = 2, 4  # flags of a page
FLAC_IN_OGG = b"\x7fFLAC"


def unwrap_flac(path: Path) -> io.BytesIO | None:
    """The FLAC stream inside an Ogg file, which libsndfile does not read; None for any other file.

    The first packet is a header of 9 bytes, then what a FLAC file begins with; each later packet is a block
    of metadata or a frame.
    """
    with open(path, "rb") as file:
        head = file.read(PAGE.size + 1 + len(FLAC_IN_OGG))
        if head[:4] != b"OggS" or head[-len(FLAC_IN_OGG) :] != FLAC_IN_OGG:
            return None
        file.seek(0)
        content = file.read()
    return io.BytesIO(b"".join(content[page.begin : page.end] for page in _pages(content))[9:])


class _Page(NamedTuple):
    """A page of an Ogg file: its flags and where its body is. whole: the file holds all of it."""

    flags: int
    begin: int
    end: int
    whole: bool


def _pages(content: Any) -> Iterator[_Page]:
    """The pages, up to the first bytes that are none."""
    at = 0
    while content[at : at + 4] == b"OggS":
        if at + PAGE.size > len(content):
            yield _Page(0, at, at, whole=False)
            return
        _, _, flags, _, _, _, _, count = PAGE.unpack_from(content, at)
        begin = at + PAGE.size + count
        at = begin + sum(content[begin - count : begin])
        yield _Page(flags, begin, at, whole=at <= len(content))


def fault_of(content: Any) -> Fault | None:
    """An Ogg file whose last page is not all there or not the last of its stream, and one of two streams."""
    begun, last, number = False, None, 0
    for number, last in enumerate(_pages(content), 1):  # noqa: B007 (used after the loop)
        if last.flags & FIRST and begun:
            return JOINED
        begun = begun or not last.flags & FIRST
    if last is None or (last.whole and last.flags & LAST):
        return None
    problem = "does not end the stream" if last.whole else "is cut"
    return "truncated", f"page {number}, the last one, {problem}"
