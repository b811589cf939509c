"""Converts a Hugging Face or Meta Llama folder to a weights folder (`spirit_jax.model.checkpoint`).

One tensor is in memory at a time. An interrupted import resumes; the weights folder is complete or absent.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from spirit_jax.config import ModelConfig
from spirit_jax.core.files import read_optional_json, require_folder
from spirit_jax.core.progress import Progress
from spirit_jax.model.array_store import create_array, write_metadata
from spirit_jax.model.checkpoint import CODEC, FORMAT, WEIGHTS, write_identity
from spirit_jax.model_io.foreign_folders import ForeignFolder, open_foreign_folder
from spirit_jax.model_io.hf_tokenizer import warn_of_export
from spirit_jax.model_io.names import EMBED, HEAD, TABLE, Name, our_shape, to_ours
from spirit_jax.model_io.new_rows import NewRowOptions, new_rows
from spirit_jax.model_io.resumable_folder import Journal, check_apart, file_stamps, resumable
from spirit_jax.model_io.tensor_files import Tensor, row_slices
from spirit_jax.model_io.vocabulary_plan import VocabularyPlan, VocabularyRequest, plan_vocabulary


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """How to import a model.

    request: None adds the paper's Base streams unless the model has speech rows. rope_theta: replaces the
    model's own. codec: a folder to copy into the weights folder.
    """

    request: VocabularyRequest | None = None
    new_rows: NewRowOptions = NewRowOptions()
    rope_theta: float | None = None
    codec: Path | None = None


@dataclasses.dataclass(frozen=True)
class _Import:
    """An import whose decisions are made. config: the imported model's."""

    source: ForeignFolder
    plan: VocabularyPlan
    config: ModelConfig
    new_rows: NewRowOptions


def import_llama(
    folder: str | Path,
    out: str | Path,
    options: ImportOptions = ImportOptions(),  # noqa: B008 (frozen)
) -> VocabularyPlan:
    """Converts a Llama folder to a weights folder and returns what its rows mean.

    Everything is checked before anything is written. Arrays keep the type of the folder's tensors (float32,
    float16, bfloat16), and new rows have it too. UserError if the folder cannot be converted.
    """
    folder, out = require_folder(folder, "source"), check_apart(out, folder)
    if options.codec is not None:
        require_folder(options.codec, "codec")
    source = open_foreign_folder(folder)
    decided = plan_vocabulary(folder, source.config, options.request)
    theta = source.config.rope_theta if options.rope_theta is None else options.rope_theta
    config = dataclasses.replace(source.config, rows=decided.rows, rope_theta=theta)
    description = {
        "source": str(folder.resolve()),
        "files": file_stamps(folder),
        "options": repr(options),
        "vocabulary": decided.vocabulary.to_dict(),
    }
    with resumable(out, description, _is_weights_folder) as (partial, journal):
        _import_arrays(_Import(source, decided, config, options.new_rows), partial / WEIGHTS, journal)
        write_metadata(partial / WEIGHTS, config)
        if decided.tokenizer is not None:
            decided.tokenizer.save(partial)
        shutil.rmtree(partial / CODEC, ignore_errors=True)
        write_identity(partial, config, decided.vocabulary, options.codec, source.origin)
    if decided.tokenizer is not None:
        warn_of_export(decided.tokenizer, out)
    return decided


def _import_arrays(job: _Import, folder: Path, journal: Journal) -> None:
    total = sum(tensor.shape[0] for tensor in job.source.tensors.values())
    with Progress("import", total, "rows") as progress:
        for name in TABLE:
            if not (name.ours == HEAD and job.config.tied):
                _import_array(job, name, folder, journal, progress)


def _import_array(job: _Import, name: Name, folder: Path, journal: Journal, progress: Progress) -> None:
    """Fills one array, layer by layer."""
    cfg = job.config
    layers = range(cfg.layers) if name.layered else (None,)
    keys = [name.hugging_face.format(layer) for layer in layers]
    tensors = [job.source.tensors[key] for key in keys]
    shape = our_shape(name, cfg)
    dtype = tensors[0].dtype if len({tensor.dtype for tensor in tensors}) == 1 else "float32"
    array = create_array(folder, name.ours, (cfg.layers, *shape) if name.layered else shape, dtype)
    for layer, key, tensor in zip(layers, keys, tensors):
        if key not in journal:
            if name.ours in (EMBED, HEAD):
                _import_table(array, tensor, job, TABLE.index(name))
            else:
                values = to_ours(name, tensor.read(slice(None)), cfg).astype(array.dtype.numpy_dtype)
                (array if layer is None else array[layer]).write(values).result()
            journal.add(key)
        progress.advance(tensor.shape[0], key)


def _import_table(array: Any, tensor: Tensor, job: _Import, table: int) -> None:
    """An embedding or head: copies the old rows slice by slice, draws the new ones; padding rows are zero."""
    vocabulary, dtype = job.plan.vocabulary, array.dtype.numpy_dtype
    kept = tensor.shape[0] if job.plan.keep else vocabulary.text_size
    for rows in row_slices(kept, tensor.shape[1] * dtype.itemsize):
        array[rows].write(tensor.read(rows)).result()
    if not job.plan.keep and vocabulary.size > kept:
        new = new_rows(tensor.read, kept, vocabulary.size - kept, job.new_rows, table)
        array[kept : vocabulary.size].write(new.astype(dtype)).result()


def _is_weights_folder(folder: Path) -> bool:
    return read_optional_json(folder / "config.json").get("format") == FORMAT
