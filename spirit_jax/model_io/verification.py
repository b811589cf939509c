"""Verifies a conversion: compares a stored model's tensors with a Llama folder's, and its logits with those
of transformers, if that is installed.
"""

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.config import ARCHITECTURE, Dtype, ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_folder, require_output_file, write_atomically
from spirit_jax.core.paths import AnyPath
from spirit_jax.core.progress import track
from spirit_jax.model.array_store import named_arrays, open_array
from spirit_jax.model.checkpoint import StoredModel, find_stored_model, load_model
from spirit_jax.model.llama import Llama
from spirit_jax.model_io.foreign_folders import ForeignFolder, open_foreign_folder
from spirit_jax.model_io.names import EMBED, HEAD, model_tensors, our_shape, to_theirs
from spirit_jax.model_io.tensor_files import row_slices
from spirit_jax.model_io.vocabulary_plan import VocabularyRequest, plan_vocabulary
from spirit_jax.sharding import make_inference_mesh, mesh_sizes, use_mesh_of

TOLERANCE = 2e-4  # largest difference of float32 logits by the largest logit: our choice
PROBE = (2, 64)  # rows and tokens of the random ids that both models get


@dataclasses.dataclass(frozen=True)
class Difference:
    """How two models differ. tensors: names of those that differ in a bit. logits: the largest difference by
    the largest logit; None if they were not compared, for the reason `why_not`.
    """

    tensors: tuple[str, ...]
    logits: float | None
    why_not: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both are the same model."""
        return not self.tensors and (self.logits is None or self.logits <= TOLERANCE)


def write_logits(
    checkpoint: str | AnyPath, ids: str | Path, out: str | Path, mesh: Mapping[str, int] | None = None
) -> np.ndarray:
    """Writes the logits of ids to a .npy file, and returns them: float32 [B, T, V] with padding rows.

    ids: a .npy file of integers [B, T] or [T]. mesh: sizes by axis of the devices that the float32 model is
    split over; None: the first device. UserError for other files and for ids that the model lacks.
    """
    ids_BT = _read_ids(require_file(ids, "ids"), find_stored_model(checkpoint).model.rows)
    require_output_file(out, "--out")
    loaded = load_model(checkpoint, make_inference_mesh(mesh or {}), Dtype.FLOAT32)
    logits_BTV = our_logits(loaded.llama, ids_BT)
    with write_atomically(out) as partial, open(partial, "wb") as file:
        np.save(file, logits_BTV)
    return logits_BTV


def _read_ids(path: Path, rows: int) -> np.ndarray:
    try:
        ids_BT = np.atleast_2d(np.load(path))
    except (ValueError, EOFError, OSError) as error:
        raise UserError(
            "ids", path, "must be a .npy file of integers", "save them with numpy.save"
        ) from error
    if (
        ids_BT.ndim != 2
        or not ids_BT.size
        or ids_BT.dtype.kind not in "iu"
        or not 0 <= ids_BT.min() <= ids_BT.max() < rows
    ):
        raise UserError(
            "ids",
            f"{ids_BT.dtype} {ids_BT.shape}",
            f"must be integers [B, T] from 0 to {rows - 1}",
            "save them with numpy.save",
        )
    return ids_BT


def our_logits(llama: Llama, ids_BT: np.ndarray) -> np.ndarray:
    """Logits of rows that are one segment each: float32 [B, T, V]."""
    rows, length = ids_BT.shape
    with use_mesh_of(llama):
        parts = mesh_sizes()["data"] * mesh_sizes()["fsdp"]
        ids_BT = np.pad(ids_BT.astype(np.int32), ((0, -rows % parts), (0, 0)))
        positions_BT = np.broadcast_to(np.arange(length, dtype=np.int32), ids_BT.shape)
        return np.asarray(jax.jit(lambda m, i, p: m(i, p)[0])(llama, ids_BT, positions_BT))[:rows]


def verify(
    checkpoint: str | AnyPath, source: str | Path, mesh: Mapping[str, int] | None = None
) -> Difference:
    """Compares a model of ours with the Llama folder that it was imported from or exported to.

    Values are compared in the folder's types, so an export to a narrower type agrees too. Rows that the
    import added are left out, and both compute with our rotary base, which an import may have changed.
    mesh: see `write_logits`. UserError if the architectures differ.
    """
    stored, folder = find_stored_model(checkpoint), require_folder(source, "source")
    theirs = open_foreign_folder(folder)
    for key in ARCHITECTURE:
        ours, expected = getattr(stored.model, key), getattr(theirs.config, key)
        if ours != expected:
            fix = "compare folders that belong together"
            raise UserError(f"model.{key}", ours, f"is {expected} in {folder}", fix)
    rows = _shared_rows(stored, folder, theirs.config)
    differing = _differing_tensors(stored, theirs, rows)
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        return Difference(
            differing, None, "transformers is not installed: pip install -r requirements-parity.txt"
        )
    if not theirs.transformers_reads:
        return Difference(differing, None, "transformers does not read Meta's format")
    ids_BT = np.random.default_rng(0).integers(0, rows, PROBE)
    theirs_BTV = _transformers_logits(folder, stored.model.rope_theta, ids_BT)[..., :rows]
    loaded = load_model(checkpoint, make_inference_mesh(mesh or {}), Dtype.FLOAT32)
    llama = _rounded_like(loaded.llama, theirs)
    ours_BTV = our_logits(llama, ids_BT)[..., :rows]
    return Difference(differing, float(np.abs(ours_BTV - theirs_BTV).max() / np.abs(theirs_BTV).max()))


def _differing_tensors(stored: StoredModel, source: ForeignFolder, shared: int) -> tuple[str, ...]:
    differing = []
    for name, layer in track(model_tensors(source.config), "compare", unit="tensors"):
        theirs = source.tensors[name.hugging_face.format(layer)]
        array, dtype = open_array(stored.tree_folder, name.ours), np.dtype(theirs.dtype)
        if name.ours in (EMBED, HEAD):
            same = all(
                np.array_equal(array[rows].read().result().astype(dtype), theirs.read(rows))
                for rows in row_slices(shared, theirs.shape[1] * 4)
            )
        else:
            values = (array if layer is None else array[layer]).read().result().astype(dtype)
            ours = to_theirs(name, values.reshape(our_shape(name, stored.model)), stored.model)
            same = np.array_equal(ours, theirs.read(slice(None)))
        if not same:
            differing.append(name.hugging_face.format(layer))
    return tuple(differing)


def _shared_rows(stored: StoredModel, folder: Path, theirs: ModelConfig) -> int:
    """Rows that an import keeps: all of them, or the text rows if it adds speech rows, which may replace
    padding.
    """
    ours = stored.vocabulary
    decided = plan_vocabulary(folder, theirs, VocabularyRequest(ours.streams, as_is=not ours.has_speech))
    return min(theirs.rows, stored.model.rows) if decided.keep else ours.text_size


def _rounded_like(llama: Llama, source: ForeignFolder) -> Llama:
    """The model rounded to the types of the source's tensors."""
    dtypes = {
        name.ours: source.tensors[name.hugging_face.format(layer)].dtype
        for name, layer in model_tensors(source.config)
    }
    leaves = [leaf.astype(dtypes[name]).astype(jnp.float32) for name, leaf in named_arrays(llama).items()]
    return jax.tree.unflatten(jax.tree.structure(llama), leaves)


def _transformers_logits(folder: Path, rope_theta: float, ids_BT: np.ndarray) -> np.ndarray:
    import torch  # pyright: ignore[reportMissingImports]
    from transformers import AutoConfig, AutoModelForCausalLM  # pyright: ignore[reportMissingImports]

    config: Any = AutoConfig.from_pretrained(folder)
    config.rope_parameters = {**config.rope_parameters, "rope_theta": rope_theta}
    peer = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()
    with torch.no_grad():
        return peer(torch.from_numpy(ids_BT)).logits.numpy()
