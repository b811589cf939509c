"""Llama folders that others wrote, Hugging Face's and Meta's, with their tensors under Hugging
Face's names.
"""

import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_file
from spirit_jax.model_io import hf_config, meta_config
from spirit_jax.model_io.foreign_keys import check_generation_config
from spirit_jax.model_io.names import (
    EMBED,
    HEAD,
    TABLE,
    Name,
    halves_from_pairs,
    is_ignored,
    model_tensors,
    their_shape,
)
from spirit_jax.model_io.tensor_files import Tensor, open_tensor_file, row_slices

HEAD_NAME, HEAD_META = next((name.hugging_face, name.meta) for name in TABLE if name.ours == HEAD)
EMBED_NAME, EMBED_META = next((name.hugging_face, name.meta) for name in TABLE if name.ours == EMBED)


class ForeignFolder(Protocol):
    """A model in a folder that others wrote.

    config: its configuration. origin: values that an export writes again. tensors: exactly the model's, and
    ignored ones, by Hugging Face name. transformers_reads: whether transformers can load the folder. notes:
    lines on what was assumed or left out.
    """

    config: ModelConfig
    origin: dict[str, Any]
    tensors: dict[str, Tensor]
    transformers_reads: bool
    notes: tuple[str, ...]


def open_foreign_folder(folder: Path) -> ForeignFolder:
    """Opens a Llama folder of Hugging Face or Meta, and prints its notes to stderr.

    UserError for missing or unknown tensors, wrong shapes, unknown keys of its configuration, and other
    architectures.
    """
    if (folder / "params.json").is_file() and list(folder.glob("consolidated.*.pth")):
        found = MetaFolder(folder)
    elif (folder / "config.json").is_file():
        found = HuggingFaceFolder(folder)
    else:
        rule = "has neither config.json nor params.json with consolidated.NN.pth"
        raise UserError("source", folder, rule, "name a Llama folder")
    for note in found.notes:
        print(f"note: {folder}: {note}", file=sys.stderr)
    return found


class HuggingFaceFolder:
    """config.json with model.safetensors or pytorch_model.bin, one file or shards with an index."""

    transformers_reads = True

    def __init__(self, folder: Path):
        values = read_json(folder / "config.json")
        self.config, self.origin = hf_config.read(values, folder), hf_config.origin(values)
        check_generation_config(folder)
        paths, index = _weight_files(folder)
        ignored = _ignored_weights(folder, paths if index is None else [index, *paths])
        self.notes = tuple(filter(None, (ignored,)))
        files = [open_tensor_file(path) for path in paths]
        self.tensors = {name: tensor for file in files for name, tensor in file.items()}
        if self.config.tied and HEAD_NAME in self.tensors:
            if not _is_tied(self.tensors):
                fix = "set tie_word_embeddings to false in its config.json"
                raise UserError("source", folder, "declares tied embeddings, but lm_head.weight differs", fix)
            del self.tensors[HEAD_NAME]
        _check_tensors(self.config, self.tensors, folder)


class MetaFolder:
    """params.json with consolidated.NN.pth. Each file has a part of every tensor, for model parallelism."""

    transformers_reads = False

    def __init__(self, folder: Path):
        files = [open_tensor_file(path) for path in sorted(folder.glob("consolidated.*.pth"))]
        if any(file.keys() != files[0].keys() for file in files):
            raise UserError(
                "source",
                folder,
                "has consolidated.*.pth files with different tensors",
                "complete the download",
            )
        params = read_json(folder / "params.json")
        rows = _embedding_rows(files, params, folder)
        self.config = meta_config.read(params, rows, HEAD_META not in files[0], folder)
        self.origin = {}
        ignored = "Meta's files are read; ignored: config.json" if (folder / "config.json").is_file() else ""
        self.notes = tuple(filter(None, (ignored, meta_config.assumption(params))))
        names = {name.meta.format(layer): (name, layer) for name, layer in model_tensors(self.config)}
        self.tensors = {}
        for meta_name in files[0]:
            if meta_name in names:
                name, layer = names[meta_name]
                parts = [file[meta_name] for file in files]
                self.tensors[name.hugging_face.format(layer)] = _join(parts, name, self.config, meta_name)
            elif not is_ignored(meta_name):
                self.tensors[meta_name] = files[0][meta_name]
        _check_tensors(self.config, self.tensors, folder)
        if not self.config.tied and _is_tied(self.tensors):  # Meta stores a tied embedding twice
            del self.tensors[HEAD_NAME]
            self.config = meta_config.read(params, self.config.rows, True, folder)


def _check_tensors(cfg: ModelConfig, tensors: dict[str, Tensor], folder: Path) -> None:
    """UserError unless the tensors are exactly the model's, apart from ignored ones."""
    needed = {name.hugging_face.format(layer): their_shape(name, cfg) for name, layer in model_tensors(cfg)}
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


def _weight_files(folder: Path) -> tuple[list[Path], Path | None]:
    """The files with the weights, and their index if they have one. In transformers' order: safetensors
    first, and a whole file before an index.
    """
    for stem, ending in (("model", "safetensors"), ("pytorch_model", "bin")):
        index, whole = folder / f"{stem}.{ending}.index.json", folder / f"{stem}.{ending}"
        if whole.is_file():
            return [whole], None
        if index.is_file():
            named = sorted(set(read_json(index).get("weight_map", {}).values()))
            return [require_file(folder / name, f"shard named by {index.name}") for name in named], index
    raise UserError(
        "source",
        folder,
        "has no model.safetensors and no pytorch_model.bin, whole or with an index",
        "complete the download",
    )


def _ignored_weights(folder: Path, read: list[Path]) -> str | None:
    """A line on the folder's files of weights that are not read; None if there are none."""
    patterns = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "*.bin.index.json")
    others = {path for pattern in patterns for path in folder.glob(pattern)} - set(read)
    if not others:
        return None
    names = sorted(path.name for path in others if path.suffix == ".json")
    if count := len(others) - len(names):
        names.append(f"{count} other files of weights")
    return f"{read[0].name} is read, as transformers does; ignored: {', '.join(names)}"


def _is_tied(tensors: dict[str, Tensor]) -> bool:
    """Whether head and embedding are equal to the bit. The first slice usually tells that they are not."""
    embed, head = tensors.get(EMBED_NAME), tensors[HEAD_NAME]
    if embed is None or embed.shape != head.shape:
        return False
    return all(
        np.array_equal(embed.read(rows), head.read(rows))
        for rows in row_slices(embed.shape[0], 4 * embed.shape[-1], 2**24)
    )


def _embedding_rows(files: list[dict[str, Tensor]], params: dict, folder: Path) -> int:
    """Rows of the embedding. Llama 2's files split its width, Llama 3's its rows."""
    if EMBED_META not in files[0]:
        raise UserError("source", folder, f"lacks {EMBED_META}", "name a Llama checkpoint")
    shapes = [file[EMBED_META].shape for file in files]
    return shapes[0][0] if shapes[0][-1] != params.get("dim") else sum(shape[0] for shape in shapes)


def _join(parts: list[Tensor], name: Name, cfg: ModelConfig, meta_name: str) -> Tensor:
    """One tensor from its parts in all files, in Hugging Face's order of rotary components."""
    full, first = their_shape(name, cfg), parts[0]
    axis = 0 if name.ours == EMBED and first.shape[-1] == full[-1] else name.meta_axis
    if axis is None:
        parts = parts[:1]
    shape = list(first.shape)
    if axis is not None and len(parts) > 1:
        shape[axis] = sum(part.shape[axis] for part in parts)
    if tuple(shape) != full:
        raise UserError(
            f"Meta tensor {meta_name}",
            tuple(shape),
            f"must have shape {full} by params.json",
            "use files that belong together",
        )

    def read(rows: slice) -> np.ndarray:
        if name.rotary:
            pairs = np.concatenate([part.read(slice(None)) for part in parts])
            return halves_from_pairs(pairs, cfg.head_width)[rows]
        if len(parts) == 1:
            return first.read(rows)
        if axis == 1:
            return np.concatenate([part.read(rows) for part in parts], 1)
        return _read_rows(parts, *rows.indices(full[0])[:2])

    return Tensor(full, first.dtype, read)


def _read_rows(parts: list[Tensor], start: int, stop: int) -> np.ndarray:
    """Rows start..stop - 1 of a tensor whose parts are ranges of rows."""
    arrays, first = [], 0
    for part in parts:
        low, high = max(start - first, 0), min(stop - first, part.shape[0])
        if low < high:
            arrays.append(part.read(slice(low, high)))
        first += part.shape[0]
    return np.concatenate(arrays)
