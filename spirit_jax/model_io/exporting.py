"""Writes a weights folder or a run's checkpoint as a Hugging Face LlamaForCausalLM folder.

One tensor is in memory at a time. An interrupted export resumes; the folder is complete or absent.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.files import read_optional_json, write_json
from spirit_jax.core.paths import AnyPath, resolved, to_path
from spirit_jax.core.progress import Progress
from spirit_jax.model.array_store import open_array
from spirit_jax.model.checkpoint import StoredModel, find_stored_model
from spirit_jax.model_io import hf_config
from spirit_jax.model_io.hf_tokenizer import tokenizer_files
from spirit_jax.model_io.names import EMBED, HEAD, Name, model_tensors, our_shape, their_shape, to_theirs
from spirit_jax.model_io.resumable_folder import check_apart, file_stamps, resumable
from spirit_jax.model_io.tensor_files import Entry, row_slices, write_safetensors
from spirit_jax.model_io.vocabulary_plan import OWN_KEY

SHARD_BYTES = 2**30  # of a file: the most that an interrupted export writes again
TensorId = tuple[Name, int | None]  # a name and its layer


def export_llama(checkpoint: str | AnyPath, out: str | Path, dtype: str | None = None) -> None:
    """Writes a model as a Hugging Face folder. dtype: float32, float16 or bfloat16; None: as stored.

    UserError if there is no model, or its tokenizer cannot be exported.
    """
    stored, out = find_stored_model(checkpoint), check_apart(out, to_path(checkpoint))
    tensors = model_tensors(stored.model)
    arrays = {name.ours: open_array(stored.tree_folder, name.ours) for name, _ in tensors}
    dtypes = {name: dtype or array.dtype.name for name, array in arrays.items()}
    small_files = _small_files(stored, dtypes)
    shards = _plan_shards(stored.model, dtypes)
    description = {
        "checkpoint": str(resolved(stored.weights)),
        "stamps": file_stamps(stored.weights),
        "dtype": dtype,
    }
    with (
        resumable(out, description, _is_export) as (partial, journal),
        Progress("export", len(tensors), "tensors") as progress,
    ):
        for number, shard in enumerate(shards, 1):
            path = partial / _shard_name(number, len(shards))
            if path.name not in journal:
                entries = [
                    _entry(stored.model, arrays[name.ours], name, layer, dtypes[name.ours])
                    for name, layer in shard
                ]
                write_safetensors(path, entries)
                journal.add(path.name)
            progress.advance(len(shard), path.name)
        if len(shards) > 1:
            _write_index(partial, stored.model, shards, dtypes)
        for file, content in small_files.items():
            (partial / file).write_bytes(content)


def _entry(cfg: ModelConfig, array: Any, name: Name, layer: int | None, dtype: str) -> Entry:
    """A tensor in Hugging Face's layout. Tables are read slice by slice (Llama 3's is 2 GiB in float32),
    others whole.
    """

    def read() -> Iterator[np.ndarray]:
        if name.ours in (EMBED, HEAD):
            for rows in row_slices(cfg.rows, cfg.width * array.dtype.numpy_dtype.itemsize):
                yield array[rows].read().result().astype(np.dtype(dtype), copy=False)
        else:
            ours = (array if layer is None else array[layer]).read().result()
            yield to_theirs(name, ours.reshape(our_shape(name, cfg)).astype(np.dtype(dtype), copy=False), cfg)

    return Entry(name.hugging_face.format(layer), dtype, their_shape(name, cfg), read())


def _plan_shards(cfg: ModelConfig, dtypes: dict[str, str]) -> list[list[TensorId]]:
    """Tensors in the order of the table, in files of at most SHARD_BYTES unless one tensor is larger."""
    shards: list[list[TensorId]] = [[]]
    size = 0
    for name, layer in model_tensors(cfg):
        tensor_bytes = _tensor_bytes(name, cfg, dtypes)
        if shards[-1] and size + tensor_bytes > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append((name, layer))
        size += tensor_bytes
    return shards


def _tensor_bytes(name: Name, cfg: ModelConfig, dtypes: dict[str, str]) -> int:
    return int(np.prod(their_shape(name, cfg))) * np.dtype(dtypes[name.ours]).itemsize


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _write_index(
    folder: Path, cfg: ModelConfig, shards: list[list[TensorId]], dtypes: dict[str, str]
) -> None:
    weight_map = {
        name.hugging_face.format(layer): _shard_name(number, len(shards))
        for number, shard in enumerate(shards, 1)
        for name, layer in shard
    }
    size = sum(_tensor_bytes(name, cfg, dtypes) for name, _ in model_tensors(cfg))
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)


def _small_files(stored: StoredModel, dtypes: dict[str, str]) -> dict[str, bytes]:
    """The contents of all files but the weights, by name. Made before the weights are written, because a
    tokenizer may not be exportable.
    """
    vocabulary, kinds = stored.vocabulary, set(dtypes.values())
    dtype = kinds.pop() if len(kinds) == 1 else "float32"
    config = hf_config.write(stored.model, stored.origin, dtype, vocabulary.eos, vocabulary.bos)
    # the row of a padding token after the text ids is now a speech token's
    if not 0 <= config.get("pad_token_id", 0) < vocabulary.text_size:
        del config["pad_token_id"]
    generation: dict[str, Any] = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    if stored.model.rows > vocabulary.size:
        # padding rows must not be sampled
        generation["suppress_tokens"] = list(range(vocabulary.size, stored.model.rows))
    values = {
        "config.json": {**config, OWN_KEY: {"vocabulary": vocabulary.to_dict()}},
        "generation_config.json": generation,
    }
    files = {name: (json.dumps(value, indent=2) + "\n").encode() for name, value in values.items()}
    if stored.tokenizer_path is not None:
        files |= tokenizer_files(stored.tokenizer_path, vocabulary, config["max_position_embeddings"])
    return files


def _is_export(folder: Path) -> bool:
    return OWN_KEY in read_optional_json(folder / "config.json")
