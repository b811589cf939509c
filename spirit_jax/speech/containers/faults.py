"""Finds sound files that are cut, or that hold one sound after another."""

import functools
import mmap
import os
import re
from pathlib import Path
from typing import Any, Literal

from spirit_jax.speech.containers import JOINED, Fault, mp3, ogg
from spirit_jax.speech.containers.tags import BEHIND, after_tag

BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"RIFX": "big"}
# writers to a pipe cannot know the length and claim this many bytes or more
UNKNOWN_BYTES = 0x7FFF0000
FLAC_HEAD = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # with the head of its first block


def find_fault(path: Path) -> Fault | None:
    """What is wrong with the structure of a file, or None."""
    stat = os.stat(path)
    return _find_fault(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)  # parts of one recording are read one after another
def _find_fault(path: Path, size: int, changed_ns: int) -> Fault | None:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = after_tag(content, 0)
        magic = content[begin : begin + 4]
        if magic in BYTE_ORDERS:
            return _fault_of_wav(content, BYTE_ORDERS[magic])
        if magic == b"OggS":
            return ogg.fault_of(content)
        if magic == b"fLaC":
            return JOINED if FLAC_HEAD.search(content, begin + 1) else None
        return mp3.fault_of(content, begin)


def _fault_of_wav(content: Any, order: Literal["little", "big"]) -> Fault | None:
    """A wav that ends before its header says, or with much more behind its end than a tag."""

    def number(at: int) -> int:
        return int.from_bytes(content[at : at + 4], order)

    at, bytes_a_second = 12, 0
    while (id := content[at : at + 4]) != b"data" and len(id) == 4:
        if id == b"fmt ":
            bytes_a_second = number(at + 16)
        at += 8 + _even(number(at + 4))
    size, outer = number(at + 4), number(4)
    if not 0 < size < UNKNOWN_BYTES or outer >= UNKNOWN_BYTES:
        return None
    there = len(content) - at - 8
    if 0 < there < size:
        return "truncated", f"{there} of {size} bytes are there"
    end = max(8 + _even(outer), at + 8 + _even(size))
    tagged = content[end : end + 8].startswith(BEHIND)
    return None if tagged or len(content) - end <= bytes_a_second / 4 else JOINED


def _even(size: int) -> int:
    """The size of a chunk with its padding."""
    return size + size % 2
