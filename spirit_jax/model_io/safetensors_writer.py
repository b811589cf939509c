"""Writes a safetensors file block by block. The library's own writer needs all tensors of a file in memory
and copies them.

The format: the length of the header (8 bytes, little endian), a JSON header with the type, shape and offsets
of each tensor, then the bytes of the tensors in this order.
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
    """A tensor to be written. blocks: its values in order as arrays of `dtype` (float32, float16 or
    bfloat16); an iterator makes them when they are written.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    blocks: Iterable[np.ndarray]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Writes a safetensors file."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": TYPES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size],
        }
        offset += entry.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for entry in entries:
            for block in entry.blocks:
                file.write(np.ascontiguousarray(block).view(np.uint8))
        assert file.tell() == 8 + len(text) + offset, "the blocks do not add up to the tensors"
