"""Reads `.txt` files as rows of a corpus: one text, or one a line."""

from collections.abc import Iterator
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpus import BadRow

LONGEST_TEXT = 2**26  # bytes of a file that is one text; a tokenizer takes some 100 times as much memory


def read_texts(path: Path, lines: bool) -> Iterator[tuple[int, dict | BadRow]]:
    """The number of each line with a text, and its row, or why it cannot be used; without `lines` 1 and the
    row of the whole file, byte for byte. Blank texts are left out.
    """
    return _read_lines(path) if lines else _read_document(path)


def _read_document(path: Path) -> Iterator[tuple[int, dict | BadRow]]:
    if (size := path.stat().st_size) > LONGEST_TEXT:
        rule = f"is one text of {size:,} bytes; the limit is {LONGEST_TEXT:,}"
        raise UserError("text", path, rule, "give --lines if each line is a text, or a manifest")
    text = _decode(path.read_bytes(), path)
    if isinstance(text, BadRow):
        yield 1, text
    elif text.strip():
        yield 1, {"id": path.stem, "text": text}


def _read_lines(path: Path) -> Iterator[tuple[int, dict | BadRow]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            text = _decode(line, f"{path} line {number + 1}")
            if isinstance(text, BadRow):
                yield number + 1, text
            elif text.strip():
                text = text.removesuffix("\n").removesuffix("\r")
                yield number + 1, {"id": f"{path.stem}-{number:06d}", "text": text}


def _decode(content: bytes, where: object) -> str | BadRow:
    """UTF-8, with or without a byte-order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return BadRow("text_not_utf8", "text", where, f"must be UTF-8 ({error})", "convert it to UTF-8")
