"""A safetensors file written piece by piece; the library's own writer takes all of a file's tensors at once
and copies them again.

The format: the header's length (8 bytes, little endian), a JSON header with type, shape and place of each
tensor, then their bytes in that order.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
ALIGNMENT = 8  # of the first tensor's bytes, as the library aligns it


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor to be written. pieces: its values in order, as arrays of `dtype` (float32, float16 or
    bfloat16), made when they are written.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Writes a file that safetensors reads."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    at = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": TYPES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [at, at + entry.size],
        }
        at += entry.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for entry in entries:
            for piece in entry.pieces:
                file.write(np.ascontiguousarray(piece).view(np.uint8))
        assert file.tell() == 8 + len(text) + at, "the pieces don't make up the tensors"
