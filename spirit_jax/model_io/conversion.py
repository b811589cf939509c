"""Llama weights in and out: a Hugging Face or Meta folder to a weights folder
(`spirit_jax.model.checkpoint`), and any model of ours to a Hugging Face folder. Tensor by tensor, so that
memory holds one of them; what was interrupted goes on; the target is complete or absent.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_folder, write_json
from spirit_jax.core.progress import Progress
from spirit_jax.model.array_store import create_array, open_array, write_frame
from spirit_jax.model.checkpoint import FORMAT, WEIGHTS, Place, find_model, write_identity
from spirit_jax.model_io import hf_config
from spirit_jax.model_io.hf_tokenizer import tokenizer_files
from spirit_jax.model_io.names import (
    EMBED,
    HEAD,
    TABLE,
    Name,
    our_shape,
    rows_of,
    their_shape,
    to_ours,
    to_theirs,
)
from spirit_jax.model_io.new_rows import Start, new_rows
from spirit_jax.model_io.resumable_folder import Journal, resumable
from spirit_jax.model_io.safetensors_file import Entry, write
from spirit_jax.model_io.source_folders import Source, Tensor, open_source, pieces
from spirit_jax.model_io.vocabulary_plan import OWN_KEY, Plan, Request, plan

SHARD_BYTES = 2**30  # of an export's files: what an interrupted one may have to write again


@dataclasses.dataclass(frozen=True)
class Options:
    """How a model comes in. request: None is the paper's Base, where no other speech rows are there already;
    start: of new rows; rope_theta: replaces the source's; codec: a folder to put beside the weights.
    """

    request: Request | None = None
    start: Start = Start()
    rope_theta: float | None = None
    codec: Path | None = None


def import_llama(folder: str | Path, out: str | Path, options: Options = Options()) -> Plan:  # noqa: B008 (frozen)
    """Converts a Llama folder to a weights folder. All is checked before anything is written; returns what
    its rows mean.

    Arrays keep the source's type (float32, float16, bfloat16); new rows get it too.
    """
    folder, out = require_folder(folder, "source"), _check_apart(out, folder)
    if options.codec is not None:
        require_folder(options.codec, "codec")
    source = open_source(folder)
    decided = plan(folder, source.config, options.request)
    theta = source.config.rope_theta if options.rope_theta is None else options.rope_theta
    config = dataclasses.replace(source.config, rows=decided.rows, rope_theta=theta)
    told = {
        "source": str(folder.resolve()),
        "files": _stamps(folder),
        "options": repr(options),
        "vocabulary": decided.vocabulary.to_dict(),
    }
    with resumable(out, told, _is_weights_folder) as (partial, done):
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
    source: Source,
    name: Name,
    decided: Plan,
    start: Start,
    cfg: ModelConfig,
    folder: Path,
    done: Journal,
    progress: Progress,
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
                array.write(
                    to_ours(name, tensor.read(slice(None)), cfg).astype(array.dtype.numpy_dtype)
                ).result()
            else:
                array[layer].write(
                    to_ours(name, tensor.read(slice(None)), cfg).astype(array.dtype.numpy_dtype)
                ).result()
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
    """Writes a model as a Hugging Face LlamaForCausalLM folder; `dtype`: float32, float16 or bfloat16, by
    default as stored.
    """
    place, out = find_model(checkpoint), _check_apart(out, Path(checkpoint))
    arrays = {
        name.ours: open_array(place.tree, name.ours)
        for name in TABLE
        if not (name.ours == HEAD and place.model.tied)
    }
    types = {name: dtype or array.dtype.name for name, array in arrays.items()}
    small_files = _identity_files(place, types)
    shards = _plan_shards(place.model, types)
    told = {"checkpoint": str(place.weights.resolve()), "stamps": _stamps(place.weights), "dtype": dtype}
    with (
        resumable(out, told, _is_export) as (partial, done),
        Progress("export", len(rows_of(place.model)), "tensors") as progress,
    ):
        for number, shard in enumerate(shards, 1):
            path = partial / _shard_name(number, len(shards))
            if path.name not in done:
                write(
                    path,
                    [
                        _entry(place.model, arrays[name.ours], name, layer, types[name.ours])
                        for name, layer in shard
                    ],
                )
                done.add(path.name)
            progress.advance(len(shard), path.name)
        if len(shards) > 1:
            _write_index(partial, place.model, shards, types)
        for file, content in small_files.items():
            (partial / file).write_bytes(content)


def _entry(cfg: ModelConfig, array: Any, name: Name, layer: int | None, dtype: str) -> Entry:
    """A tensor of ours as Hugging Face's. Tables come piece by piece, since Llama 3's is 2 GiB in float32;
    others whole.
    """

    def read() -> Iterator[np.ndarray]:
        if name.ours in (EMBED, HEAD):
            for rows in pieces(cfg.rows, cfg.width * array.dtype.numpy_dtype.itemsize):
                yield array[rows].read().result().astype(np.dtype(dtype), copy=False)
        else:
            ours = (array if layer is None else array[layer]).read().result()
            yield to_theirs(name, ours.reshape(our_shape(name, cfg)).astype(np.dtype(dtype), copy=False), cfg)

    return Entry(name.hugging_face.format(layer), dtype, their_shape(name, cfg), read())


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


def _write_index(
    folder: Path, cfg: ModelConfig, shards: list[list[tuple[Name, int | None]]], types: dict[str, str]
) -> None:
    names = {
        n.hugging_face.format(layer): _shard_name(i, len(shards))
        for i, shard in enumerate(shards, 1)
        for n, layer in shard
    }
    size = sum(_size(name, cfg, types) for name, _ in rows_of(cfg))
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": names}
    )


def _identity_files(place: Place, types: dict[str, str]) -> dict[str, bytes]:
    """Everything but the weights, by file name; made before they are written, since a tokenizer may not be
    exportable.
    """
    vocabulary, kinds = place.vocabulary, sorted(set(types.values()))
    config = hf_config.write(
        place.model, place.origin, kinds[0] if len(kinds) == 1 else "float32", vocabulary.eos, vocabulary.bos
    )
    # a token that gave its row to a speech token
    if not 0 <= config.get("pad_token_id", 0) < vocabulary.text_size:
        del config["pad_token_id"]
    ends: dict[str, Any] = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    if place.model.rows > vocabulary.size:
        # rows of padding are never to be sampled
        ends["suppress_tokens"] = list(range(vocabulary.size, place.model.rows))
    values = {
        "config.json": {**config, OWN_KEY: {"vocabulary": vocabulary.to_dict()}},
        "generation_config.json": ends,
    }
    files = {name: (json.dumps(value, indent=2) + "\n").encode() for name, value in values.items()}
    if place.tokenizer_path is not None:
        files |= tokenizer_files(place.tokenizer_path, vocabulary, config["max_position_embeddings"])
    return files


def _check_apart(out: str | Path, source: Path) -> Path:
    """The target's path; a UserError if writing it would replace the source."""
    here, there = Path(out).resolve(), source.resolve()
    if here == there or here in there.parents:
        raise UserError("target", out, f"holds what is to be converted, {source}", "choose another folder")
    return Path(out)


def _is_weights_folder(folder: Path) -> bool:
    return _config_of(folder).get("format") == FORMAT


def _is_export(folder: Path) -> bool:
    return OWN_KEY in _config_of(folder)


def _config_of(folder: Path) -> dict:
    return read_json(folder / "config.json") if (folder / "config.json").is_file() else {}


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a folder's files: whether it is still the same."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
