"""Reads `.txt` files as rows of a corpus: one text, or one a line."""

from collections.abc import Iterator
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.stored_files import bare_name, open_stored, stream_lines
from spirit_jax.datasets.corpus import BadRow

LONGEST_TEXT = 2**26  # bytes of a file that is one text; a tokenizer takes some 100 times as much memory


def read_texts(path: Path, lines: bool) -> Iterator[tuple[int, dict | BadRow]]:
    """The number of each line with a text, and its row, or why it cannot be used; without `lines` 1 and the
    row of the whole file, byte for byte. Blank texts are left out. The file may be compressed or remote.
    """
    return _read_lines(path) if lines else _read_document(path)


def _read_document(path: Path) -> Iterator[tuple[int, dict | BadRow]]:
    with open_stored(path, "text") as file:
        content = file.read(LONGEST_TEXT + 1)
    if len(content) > LONGEST_TEXT:
        size = f"{path.stat().st_size:,} bytes" if path.is_file() else f"more than {LONGEST_TEXT:,} bytes"
        rule = f"is one text of {size}; the limit is {LONGEST_TEXT:,}"
        raise UserError("text", path, rule, "give --lines if each line is a text, or a manifest")
    text = _decode(content, path)
    if isinstance(text, BadRow):
        yield 1, text
    elif text.strip():
        yield 1, {"id": bare_name(path), "text": text}


def _read_lines(path: Path) -> Iterator[tuple[int, dict | BadRow]]:
    for number, line in stream_lines(path, "text"):
        text = _decode(line, f"{path} line {number}")
        if isinstance(text, BadRow):
            yield number, text
        elif text.strip():
            text = text.removesuffix("\n").removesuffix("\r")
            yield number, {"id": f"{bare_name(path)}-{number - 1:06d}", "text": text}


def _decode(content: bytes, where: object) -> str | BadRow:
    """UTF-8, with or without a byte-order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return BadRow("text_not_utf8", "text", where, f"must be UTF-8 ({error})", "convert it to UTF-8")
