"""Weights that others wrote, read tensor by tensor under their Hugging Face names: safetensors, torch `.bin`,
and Meta's `consolidated.NN.pth`.

Files are opened anew for each tensor: a mapping is dropped when the tensor is read, so memory holds one
tensor, not the files. PyTorch is imported only to read its own files.
"""

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_file
from spirit_jax.model_io import hf_config, meta_config
from spirit_jax.model_io.names import (
    EMBED,
    HEAD,
    TABLE,
    Name,
    halves_from_pairs,
    is_ignored,
    rows_of,
    their_shape,
)

DTYPES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}
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
    """A tensor that can be read. dtype: float32, float16 or bfloat16; read: rows of the first axis as a numpy
    array of that type.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[slice], np.ndarray]


class Source(Protocol):
    """A folder of weights: its configuration, and its tensors by Hugging Face name, checked to be
    complete.
    """

    config: ModelConfig
    origin: dict[str, Any]
    tensors: dict[str, Tensor]


def open_source(folder: Path) -> Source:
    """Opens a Hugging Face Llama folder or Meta's own. A UserError names what is missing, surplus, misshapen
    or of another architecture.
    """
    if (folder / "params.json").is_file() and list(folder.glob("consolidated.*.pth")):
        return MetaFolder(folder)
    if (folder / "config.json").is_file():
        return HuggingFaceFolder(folder)
    raise UserError(
        "source",
        folder,
        "has neither config.json nor params.json with consolidated.NN.pth",
        "name a Llama folder",
    )


class HuggingFaceFolder:
    """config.json with model.safetensors or pytorch_model.bin, whole or in shards with an index."""

    def __init__(self, folder: Path):
        values = read_json(folder / "config.json")
        self.config, self.origin = hf_config.read(values, folder), hf_config.origin(values)
        self.tensors = {name: tensor for path in _files(folder) for name, tensor in _open_file(path).items()}
        if self.config.tied and HEAD_NAME in self.tensors:
            if not _is_tied(self.tensors):
                fix = "set tie_word_embeddings to false in its config.json"
                raise UserError("source", folder, "says tied embeddings, but lm_head.weight differs", fix)
            del self.tensors[HEAD_NAME]
        check(self.config, self.tensors, folder)


class MetaFolder:
    """params.json with consolidated.NN.pth: parts of one model, cut for model parallelism."""

    def __init__(self, folder: Path):
        parts = [_open_torch(path) for path in sorted(folder.glob("consolidated.*.pth"))]
        if any(part.keys() != parts[0].keys() for part in parts):
            raise UserError(
                "source",
                folder,
                "has consolidated.*.pth files with different tensors",
                "complete the download",
            )
        params = read_json(folder / "params.json")
        self.config, self.origin = (
            meta_config.read(params, _meta_rows(parts, params, folder), HEAD_META not in parts[0], folder),
            {},
        )
        names = {name.meta.format(layer): (name, layer) for name, layer in rows_of(self.config)}
        self.tensors = {}
        for theirs in parts[0]:
            if theirs in names:
                name, layer = names[theirs]
                self.tensors[name.hugging_face.format(layer)] = _join(
                    [part[theirs] for part in parts], name, self.config, theirs
                )
            elif not is_ignored(theirs):
                self.tensors[theirs] = parts[0][theirs]
        check(self.config, self.tensors, folder)
        if not self.config.tied and _is_tied(self.tensors):  # Meta stores it twice
            del self.tensors[HEAD_NAME]
            self.config = meta_config.read(params, self.config.rows, True, folder)


HEAD_NAME, HEAD_META = next((name.hugging_face, name.meta) for name in TABLE if name.ours == HEAD)
EMBED_NAME, EMBED_META = next((name.hugging_face, name.meta) for name in TABLE if name.ours == EMBED)


def check(cfg: ModelConfig, tensors: dict[str, Tensor], folder: Path) -> None:
    """Raises a UserError unless the tensors are exactly the model's, apart from those named as ignored."""
    needed = {name.hugging_face.format(layer): their_shape(name, cfg) for name, layer in rows_of(cfg)}
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise UserError(
            "source", folder, f"lacks {len(missing)} tensors, first {missing[0]}", "complete the download"
        )
    for name, tensor in tensors.items():
        if name not in needed:
            if is_ignored(name):
                continue
            raise UserError(
                "source",
                folder,
                f"has {name}, which is neither used nor named as ignored",
                "this is another architecture",
            )
        if tensor.shape != needed[name]:
            raise UserError(
                f"{folder} {name}",
                tensor.shape,
                f"must have shape {needed[name]} by its configuration",
                "use files that belong together",
            )


def _files(folder: Path) -> list[Path]:
    for stem, ending in (("model", "safetensors"), ("pytorch_model", "bin")):
        index, whole = folder / f"{stem}.{ending}.index.json", folder / f"{stem}.{ending}"
        if index.is_file():
            named = sorted(set(read_json(index).get("weight_map", {}).values()))
            return [require_file(folder / name, f"shard named by {index.name}") for name in named]
        if whole.is_file():
            return [whole]
    raise UserError(
        "source",
        folder,
        "has no model.safetensors and no pytorch_model.bin, whole or with an index",
        "complete the download",
    )


def _open_file(path: Path) -> dict[str, Tensor]:
    return _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch(path)


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    def reader(name: str) -> Callable[[slice], np.ndarray]:
        def read(rows: slice) -> np.ndarray:
            with safe_open(path, "numpy") as file:
                return file.get_slice(name)[rows]

        return read

    try:
        with safe_open(path, "numpy") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return {
                n: Tensor(tuple(part.get_shape()), _dtype(part.get_dtype(), path, n), reader(n))
                for n, part in parts.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("weight file", path, f"is damaged ({error})", "download it again") from error


def _open_torch(path: Path) -> dict[str, Tensor]:
    def reader(name: str) -> Callable[[slice], np.ndarray]:
        return lambda rows: _numpy(_load_torch(path)[name][rows])

    tensors = _load_torch(path)
    if not isinstance(tensors, dict) or not all(hasattr(tensor, "shape") for tensor in tensors.values()):
        raise UserError("weight file", path, "must hold named tensors", "name a Llama checkpoint")
    return {
        n: Tensor(tuple(tensor.shape), _dtype(str(tensor.dtype).removeprefix("torch."), path, n), reader(n))
        for n, tensor in tensors.items()
    }


def _load_torch(path: Path) -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "weight file",
            path,
            "a torch file needs PyTorch to be read",
            "pip install -r requirements-parity.txt",
        ) from error
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


def _is_tied(tensors: dict[str, Tensor]) -> bool:
    """Whether the head is the embedding, to the bit. An untied one is known by its first piece."""
    embed, head = tensors.get(EMBED_NAME), tensors[HEAD_NAME]
    if embed is None or embed.shape != head.shape:
        return False
    return all(
        np.array_equal(embed.read(rows), head.read(rows))
        for rows in pieces(embed.shape[0], 4 * embed.shape[-1], 2**24)
    )


def pieces(count: int, row_bytes: int, limit: int = 2**28) -> Iterator[slice]:
    """Slices that cover `count` rows, each of about `limit` bytes at most."""
    step = max(1, limit // max(1, row_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _meta_rows(parts: list[dict[str, Tensor]], params: dict, folder: Path) -> int:
    """Rows of the embedding: Llama 2's shards cut its width, Llama 3's its rows."""
    if EMBED_META not in parts[0]:
        raise UserError("source", folder, f"lacks {EMBED_META}", "name a Llama checkpoint")
    shapes = [part[EMBED_META].shape for part in parts]
    return shapes[0][0] if shapes[0][-1] != params.get("dim") else sum(shape[0] for shape in shapes)


def _join(parts: list[Tensor], name: Name, cfg: ModelConfig, theirs: str) -> Tensor:
    """One tensor of its parts in all shards, rotary pairs put into halves."""
    full, first = their_shape(name, cfg), parts[0]
    axis = 0 if name.ours == EMBED and first.shape[-1] == full[-1] else name.meta_axis
    if len(parts) == 1 or axis is None:
        shape = first.shape
    else:
        shape = tuple(
            sum(part.shape[i] for part in parts) if i == axis else size for i, size in enumerate(first.shape)
        )
    if shape != full:
        raise UserError(
            f"Meta tensor {theirs}",
            shape,
            f"must have shape {full} by params.json",
            "use files that belong together",
        )

    def read(rows: slice) -> np.ndarray:
        if len(parts) == 1 or axis is None:
            return (
                halves_from_pairs(first.read(slice(None)), cfg.head_width)[rows]
                if name.rotary
                else first.read(rows)
            )
        if axis == 1:
            return np.concatenate([part.read(rows) for part in parts], 1)
        if name.rotary:
            return halves_from_pairs(
                np.concatenate([part.read(slice(None)) for part in parts]), cfg.head_width
            )[rows]
        return _read_rows(parts, *rows.indices(shape[0])[:2])

    return Tensor(shape, first.dtype, read)


def _read_rows(parts: list[Tensor], start: int, stop: int) -> np.ndarray:
    """Rows of parts that lie one under the other."""
    pieces, top = [], 0
    for part in parts:
        low, high = max(start - top, 0), min(stop - top, part.shape[0])
        if low < high:
            pieces.append(part.read(slice(low, high)))
        top += part.shape[0]
    return np.concatenate(pieces)
