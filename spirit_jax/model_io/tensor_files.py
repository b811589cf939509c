"""Files of tensors, read and written one tensor at a time: safetensors, and PyTorch's `.bin` and `.pth`,
which are only read.

Each read opens the file again and drops its mapping afterwards, so memory holds one tensor and not the files.
PyTorch is imported only to read its own files.
"""

import dataclasses
import json
import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_torch

SAFETENSORS_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
SAFETENSORS_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
DTYPES = {**SAFETENSORS_DTYPES, **{name: name for name in SAFETENSORS_DTYPES.values()}}
ALIGNMENT = 8  # of the first tensor's bytes in a safetensors file, as the library aligns it
PICKLE_ERRORS = (
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    pickle.UnpicklingError,
)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file. dtype: float32, float16 or bfloat16. read: rows of the first axis as a numpy array
    of that type.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[slice], np.ndarray]


def row_slices(count: int, row_bytes: int, limit: int = 2**28) -> Iterator[slice]:
    """Slices that cover `count` rows, each of about `limit` bytes at most."""
    step = max(1, limit // max(1, row_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def open_tensor_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or PyTorch file by name. UserError if it is damaged or has other types."""
    return _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch(path)


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


def write_safetensors(path: Path, entries: Sequence[Entry]) -> None:
    """Writes a safetensors file block by block. The library's own writer needs all tensors of a file in
    memory and copies them.

    The format: the length of the header (8 bytes, little endian), a JSON header with the type, shape and
    offsets of each tensor, then the bytes of the tensors in this order.
    """
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": SAFETENSORS_NAMES[entry.dtype],
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


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    def reader(name: str) -> Callable[[slice], np.ndarray]:
        def read(rows: slice) -> np.ndarray:
            with safe_open(path, "numpy") as file:
                return file.get_slice(name)[rows]

        return read

    try:
        with safe_open(path, "numpy") as file:
            headers = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return {
                name: Tensor(tuple(header.get_shape()), _dtype(header.get_dtype(), path, name), reader(name))
                for name, header in headers.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("weight file", path, f"is damaged ({error})", "download it again") from error


def _open_torch(path: Path) -> dict[str, Tensor]:
    def reader(name: str) -> Callable[[slice], np.ndarray]:
        return lambda rows: _numpy(_load_torch(path)[name][rows])

    tensors = _load_torch(path)
    if not isinstance(tensors, dict) or not all(hasattr(tensor, "shape") for tensor in tensors.values()):
        raise UserError("weight file", path, "must contain named tensors", "name a Llama checkpoint")
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
    return {
        name: Tensor(tuple(tensor.shape), _dtype(dtypes[name], path, name), reader(name))
        for name, tensor in tensors.items()
    }


def _load_torch(path: Path) -> Any:
    torch = require_torch(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except PICKLE_ERRORS as error:
        raise UserError(
            "weight file",
            path,
            f"does not load as plain tensors ({str(error).splitlines()[0]})",
            "download it again",
        ) from error


def _numpy(tensor: Any) -> np.ndarray:
    import torch  # pyright: ignore[reportMissingImports]

    tensor = tensor.contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _dtype(name: str, path: Path, tensor: str) -> str:
    if name not in DTYPES:
        raise UserError(
            f"{path} {tensor}",
            name,
            "must be float32, float16 or bfloat16",
            "convert quantised weights to bfloat16 first",
        )
    return DTYPES[name]
