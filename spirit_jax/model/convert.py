"""Llama weights in and out: a Hugging Face or Meta folder to a weights folder (`spirit_jax.model.checkpoint`), and any model of ours to a
Hugging Face folder. Tensor by tensor, so that memory holds one of them; what was interrupted goes on; the target is complete or absent.
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from spirit_jax.config import ModelConfig
from spirit_jax.errors import UserError
from spirit_jax.files import read_json, require_folder, write_json
from spirit_jax.model import hf_config
from spirit_jax.model.checkpoint import FORMAT, WEIGHTS, Place, find_model, write_identity
from spirit_jax.model.extension import Start, new_rows
from spirit_jax.model.hf_tokenizer import write_tokenizer
from spirit_jax.model.names import EMBED, HEAD, TABLE, Name, our_shape, rows_of, their_shape, to_ours, to_theirs
from spirit_jax.model.sources import Source, Tensor, open_source, pieces
from spirit_jax.model.stored import create_array, open_array, write_frame
from spirit_jax.model.vocabulary import OWN_KEY, Plan, Request, plan
from spirit_jax.progress import Progress

SHARD_BYTES = 2**30  # of an export's files; also bounds its memory
JOURNAL = "progress.jsonl"
MB = 10**6


@dataclasses.dataclass(frozen=True)
class Options:
    """How a model comes in. start: of new rows; rope_theta: replaces the source's; codec: a folder to put beside the weights."""

    request: Request = Request()
    start: Start = Start()
    rope_theta: float | None = None
    codec: Path | None = None


def import_llama(folder: str | Path, out: str | Path, options: Options = Options()) -> Plan:  # noqa: B008 (frozen)
    """Converts a Llama folder to a weights folder. All is checked before anything is written; returns what its rows mean.

    Arrays keep the source's type (float32, float16, bfloat16); new rows get it too.
    """
    folder = require_folder(folder, "source")
    source = open_source(folder)
    decided = plan(folder, source.config, options.request)
    theta = source.config.rope_theta if options.rope_theta is None else options.rope_theta
    config = dataclasses.replace(source.config, rows=decided.rows, rope_theta=theta)
    told = {"source": str(folder.resolve()), "files": _stamps(folder), "options": repr(options), "vocabulary": decided.vocabulary.to_dict()}
    with resumable(Path(out), told, WEIGHTS) as (partial, done):
        total = sum(tensor.shape[0] for tensor in source.tensors.values())
        with Progress("import", total, "rows") as progress:
            for name in (name for name in TABLE if not (name.ours == HEAD and config.tied)):
                _import_array(source, name, decided, options.start, config, partial / WEIGHTS, done, progress)
        write_frame(partial / WEIGHTS, config)
        if decided.tokenizer is not None:
            decided.tokenizer.save(partial)
        shutil.rmtree(partial / "codec", ignore_errors=True)
        write_identity(partial, config, decided.vocabulary, None, options.codec, source.origin)
    return decided


def _import_array(
    source: Source, name: Name, decided: Plan, start: Start, cfg: ModelConfig, folder: Path, done: "Journal", progress: Progress
) -> None:
    layers = range(cfg.layers) if name.layered else (None,)
    tensors = [source.tensors[name.hugging_face.format(layer)] for layer in layers]
    shape = our_shape(name, cfg)
    dtype = tensors[0].dtype if len({tensor.dtype for tensor in tensors}) == 1 else "float32"
    array = create_array(folder, name.ours, (cfg.layers, *shape) if name.layered else shape, dtype)
    for layer, tensor in zip(layers, tensors):
        key = name.hugging_face.format(layer)
        if key not in done:
            if name.ours in (EMBED, HEAD):
                _import_table(array, tensor, decided, start, TABLE.index(name))
            elif layer is None:
                array.write(to_ours(name, tensor.read(slice(None)), cfg).astype(array.dtype.numpy_dtype)).result()
            else:
                array[layer].write(to_ours(name, tensor.read(slice(None)), cfg).astype(array.dtype.numpy_dtype)).result()
            done.add(key)
        progress.advance(tensor.shape[0], key)


def _import_table(array: Any, tensor: Tensor, decided: Plan, start: Start, stream: int) -> None:
    """An embedding or head: old rows copied piece by piece, new ones drawn, padding rows zero."""
    vocabulary, dtype = decided.vocabulary, array.dtype.numpy_dtype
    kept = tensor.shape[0] if decided.keep else vocabulary.text_size
    for rows in pieces(kept, tensor.shape[1] * dtype.itemsize):
        array[rows].write(tensor.read(rows)).result()
    if not decided.keep and vocabulary.size > kept:
        new = new_rows(tensor.read, kept, vocabulary.size - kept, start, stream)
        array[kept : vocabulary.size].write(new.astype(dtype)).result()


def export_llama(checkpoint: str | Path, out: str | Path, dtype: str | None = None) -> None:
    """Writes a model as a Hugging Face LlamaForCausalLM folder; `dtype`: float32, float16 or bfloat16, by default as stored."""
    place = find_model(checkpoint)
    arrays = {name.ours: open_array(_tree_folder(place), name.ours) for name in TABLE if not (name.ours == HEAD and place.model.tied)}
    types = {name: dtype or array.dtype.name for name, array in arrays.items()}
    shards = _plan_shards(place.model, types)
    told = {"checkpoint": str(place.weights.resolve()), "stamps": _stamps(place.weights), "dtype": dtype}
    with resumable(Path(out), told, None) as (partial, done), Progress("export", len(rows_of(place.model)), "tensors") as progress:
        for number, shard in enumerate(shards, 1):
            path = partial / _shard_name(number, len(shards))
            if path.name not in done:
                tensors = {n.hugging_face.format(layer): _export_tensor(place, arrays, n, layer, types[n.ours]) for n, layer in shard}
                save_file(tensors, path, metadata={"format": "pt"})
                done.add(path.name)
            progress.advance(len(shard), path.name)
        _write_export_identity(partial, place, shards, types)


def _export_tensor(place: Place, arrays: dict[str, Any], name: Name, layer: int | None, dtype: str) -> np.ndarray:
    array = arrays[name.ours] if layer is None else arrays[name.ours][layer]
    ours = np.asarray(array.read().result()).astype(np.dtype(dtype))
    return to_theirs(name, ours.reshape(our_shape(name, place.model)), place.model)


def _plan_shards(cfg: ModelConfig, types: dict[str, str]) -> list[list[tuple[Name, int | None]]]:
    """Tensors in the order of the table, in files of at most SHARD_BYTES where no tensor is larger."""
    shards: list[list[tuple[Name, int | None]]] = [[]]
    size = 0
    for name, layer in rows_of(cfg):
        bytes_ = _size(name, cfg, types)
        if shards[-1] and size + bytes_ > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append((name, layer))
        size += bytes_
    return shards


def _size(name: Name, cfg: ModelConfig, types: dict[str, str]) -> int:
    return int(np.prod(their_shape(name, cfg))) * np.dtype(types[name.ours]).itemsize


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _write_export_identity(folder: Path, place: Place, shards: list[list[tuple[Name, int | None]]], types: dict[str, str]) -> None:
    vocabulary, kinds = place.vocabulary, sorted(set(types.values()))
    if len(shards) > 1:
        names = {n.hugging_face.format(layer): _shard_name(i, len(shards)) for i, shard in enumerate(shards, 1) for n, layer in shard}
        size = sum(_size(name, place.model, types) for name, _ in rows_of(place.model))
        write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": names})
    config = hf_config.write(place.model, place.origin, kinds[0] if len(kinds) == 1 else "float32", vocabulary.eos, vocabulary.bos)
    if place.tokenizer_path is not None:
        write_tokenizer(place.tokenizer_path, folder, vocabulary, config["max_position_embeddings"])
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    write_json(folder / "generation_config.json", ends)
    write_json(folder / "config.json", {**config, OWN_KEY: {"vocabulary": vocabulary.to_dict()}})


def _tree_folder(place: Place) -> Path:
    return place.weights if place.room is None else place.weights / place.room


class Journal:
    """What is done, kept in a file that outlives a killed process."""

    def __init__(self, path: Path):
        self.path, self.done = path, {json.loads(line) for line in path.read_text().splitlines()[1:]}

    def __contains__(self, key: str) -> bool:
        return key in self.done

    def add(self, key: str) -> None:
        """Notes it down, on disk."""
        self.done.add(key)
        with open(self.path, "a") as file:
            file.write(json.dumps(key) + "\n")
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def resumable(out: Path, told: dict, subfolder: str | None) -> Iterator[tuple[Path, Journal]]:
    """A folder `.NAME.partial` beside `out` to work in, and the journal of what it holds; moved to `out` when complete.

    What an earlier attempt with the same `told` left is gone on with, else it begins anew. An `out` that is a model is replaced at the end;
    any other existing folder is a UserError.
    """
    if out.exists() and not _is_model(out):
        raise UserError("target", out, "exists and is no converted model", "choose another folder")
    partial, first = out.with_name(f".{out.name}.partial"), json.dumps(told)
    journal = partial / JOURNAL
    if not journal.is_file() or journal.read_text().partition("\n")[0] != first:
        shutil.rmtree(partial, ignore_errors=True)
        (partial / (subfolder or "")).mkdir(parents=True)
        journal.write_text(first + "\n")
    yield partial, Journal(journal)
    journal.unlink()
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)


def _is_model(folder: Path) -> bool:
    values = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    return values.get("format") == FORMAT or OWN_KEY in values


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a folder's files: whether it is still the same."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
