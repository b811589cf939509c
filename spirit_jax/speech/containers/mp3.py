"""An mp3 frame by frame, compared with the number of frames that its header says."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spirit_jax.speech.containers import Fault
from spirit_jax.speech.containers.tags import after_tag

KBPS = {  # of layer III, by whether it is MPEG 1
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44_100, 48_000, 32_000)  # of MPEG 1; MPEG 2 has half, MPEG 2.5 a quarter
SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
SEARCHED = 8192  # bytes in which the first frame must be
SLACK = 2  # frames that a header and its file may differ by: some writers count the header's frame


def add_length(path: Path) -> io.BytesIO | None:
    """An mp3 with a header that says its number of frames; None for one that has a header, and for any other
    file. Without the number libsndfile guesses it from the first frames, and stops too early.
    """
    with open(path, "rb") as file:
        tag = after_tag(file.read(10), 0)
        file.seek(tag)
        start = file.read(SEARCHED)
        begin = _first_frame(start, tag > 0)
        head = _frame_at(start, begin)
        if head is None or _stated_frames(start, begin, head) is not None:
            return None
        content = start[begin:] + file.read()
    count = sum(1 for _ in _frames(content, 0)).to_bytes(4, "big")
    sync = bytes((content[0], content[1] | 1, *content[2:4]))  # without a checksum
    header = sync + bytes(head.xing_at - 4) + b"Xing" + (1).to_bytes(4, "big") + count
    return io.BytesIO(header.ljust(head.size, b"\0") + content)


class _Frame(NamedTuple):
    """A frame of an mp3: bytes, samples, samples a second, and where a Xing header would be in it."""

    size: int
    samples: int
    rate: int
    xing_at: int


def fault_of(content: Any, begin: int) -> Fault | None:
    """An mp3 that has fewer or more frames than its header says. begin: the end of a tag in front."""
    begin += _first_frame(content[begin : begin + SEARCHED], begin > 0)
    head = _frame_at(content, begin)
    stated = None if head is None else _stated_frames(content, begin, head)
    if head is None or stated is None:
        return None
    count = sum(1 for _ in _frames(content, begin)) - 1
    if abs(count - stated) <= SLACK:
        return None
    seconds = head.samples / head.rate
    detail = f"its header says {stated * seconds:.2f} s, it holds {count * seconds:.2f} s"
    return "truncated" if count < stated else "joined", detail


def _first_frame(start: bytes, tagged: bool) -> int:
    """Where the first frame is in the first bytes of a file: behind a tag also after other bytes."""
    return _next_frame(start, 0) if tagged else 0


def _frame_at(content: Any, at: int) -> _Frame | None:
    """The frame of layer III whose header is at a position; None if there is none."""
    head = content[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, rate, kbps = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or not 0 < kbps < 15:
        return None
    first, mono = version == 3, head[3] >> 6 == 3
    hertz = RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    samples = 1152 if first else 576
    size = samples * 125 * KBPS[first][kbps] // hertz + (head[2] >> 1 & 1)
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return _Frame(size, samples, hertz, 4 + side)


def _stated_frames(content: Any, at: int, head: _Frame) -> int | None:
    """The number in the header that encoders write into a first frame without sound; None without one."""
    xing, vbri = at + head.xing_at, at + 36
    if content[xing : xing + 4] in (b"Xing", b"Info") and content[xing + 7] & 1:
        return int.from_bytes(content[xing + 8 : xing + 12], "big")
    if content[vbri : vbri + 4] == b"VBRI":
        return int.from_bytes(content[vbri + 14 : vbri + 18], "big")
    return None


def _frames(content: Any, at: int) -> Iterator[_Frame]:
    """All whole frames from a position on; what lies between them is skipped."""
    while at < len(content):
        frame = _frame_at(content, at)
        if frame is None:
            after = after_tag(content, at)
            at = after if after > at else _next_frame(content, at + 1)
        else:
            at += frame.size
            if at <= len(content):
                yield frame


def _next_frame(content: Any, at: int) -> int:
    """Where the next frame that another one follows begins; the end without one."""
    for match in SYNC.finditer(content, at):
        frame = _frame_at(content, match.start())
        if frame and _frame_at(content, match.start() + frame.size):
            return match.start()
    return len(content)
