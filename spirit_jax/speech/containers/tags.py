"""Tags before and behind a sound: titles and pictures."""

from typing import Any

BEHIND = (b"ID3", b"TAG", b"APETAGEX")  # what a tag behind a sound begins with


def after_tag(content: Any, at: int) -> int:
    """The end of an ID3 tag that begins at a position; the position if none does."""
    if content[at : at + 3] != b"ID3" or at + 10 > len(content):
        return at
    size = 0
    for byte in content[at + 6 : at + 10]:
        size = size << 7 | byte & 0x7F
    return at + 10 + size
