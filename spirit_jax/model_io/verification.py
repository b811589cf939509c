"""Proof of a conversion: the stored tensors against the source's, and the logits of both sides where
transformers is installed.
"""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.config import Dtype, ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_folder, require_output_file, write_atomically
from spirit_jax.core.progress import track
from spirit_jax.model.array_store import named_arrays, open_array
from spirit_jax.model.checkpoint import Place, find_model, load_model
from spirit_jax.model.llama import Llama
from spirit_jax.model_io.names import EMBED, HEAD, our_shape, rows_of, to_theirs
from spirit_jax.model_io.source_folders import HuggingFaceFolder, Source, open_source, pieces
from spirit_jax.model_io.vocabulary_plan import Request, plan

TOLERANCE = 2e-4  # of the largest logit, float32
SAME = ("width", "layers", "heads", "kv_heads", "head_width", "mlp_width", "tied", "norm_eps", "rope_scaling")
PROBE = (2, 64)  # rows and tokens of the ids that both sides see


@dataclasses.dataclass(frozen=True)
class Difference:
    """tensors: names of tensors that differ in a bit; logits: largest difference by the largest logit, None
    if transformers didn't run.
    """

    tensors: tuple[str, ...]
    logits: float | None
    why_not: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both sides are the same model."""
        return not self.tensors and (self.logits is None or self.logits <= TOLERANCE)


def write_logits(checkpoint: str | Path, ids: str | Path, out: str | Path) -> np.ndarray:
    """Logits in float32 [B, T, V] of int ids [B, T] or [T] in a .npy file, written to another; padding rows
    included.
    """
    ids_BT = _read_ids(require_file(ids, "ids"), find_model(checkpoint).model.rows)
    require_output_file(out, "--out")
    loaded = load_model(checkpoint, dtype=Dtype.FLOAT32)
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
    """Float32 logits [B, T, V] of rows that are one segment each."""
    ids_BT = ids_BT.astype(np.int32)
    positions_BT = np.broadcast_to(np.arange(ids_BT.shape[1], dtype=np.int32), ids_BT.shape)
    return np.asarray(jax.jit(lambda m, i, p: m(i, p)[0].astype(jnp.float32))(llama, ids_BT, positions_BT))


def verify(checkpoint: str | Path, source: str | Path) -> Difference:
    """Compares a converted model with the folder that it came from, or an export with the model that it was
    made of.

    In the folder's types, so that an export to a narrower one agrees too. Rows that conversion added are left
    out; a changed rotary base is given to the other side too. Raises a UserError where the architectures
    differ.
    """
    place, folder = find_model(checkpoint), require_folder(source, "source")
    theirs = open_source(folder)
    for key in SAME:
        if getattr(theirs.config, key) != getattr(place.model, key):
            rule = f"is {getattr(theirs.config, key)} in {folder}"
            raise UserError(
                f"model.{key}", getattr(place.model, key), rule, "compare folders that belong together"
            )
    rows = _shared_rows(place, folder, theirs.config)
    differing = _differing_tensors(place, theirs, rows)
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        return Difference(
            differing, None, "transformers is not installed: pip install -r requirements-parity.txt"
        )
    if not isinstance(theirs, HuggingFaceFolder):
        return Difference(differing, None, "transformers doesn't read Meta's format")
    ids_BT = np.random.default_rng(0).integers(0, rows, PROBE)
    theirs_BTV = _peer_logits(folder, place.model.rope_theta, ids_BT)[..., :rows]
    ours_BTV = our_logits(_as_stored_by(load_model(checkpoint, dtype=Dtype.FLOAT32).llama, theirs), ids_BT)[
        ..., :rows
    ]
    return Difference(differing, float(np.abs(ours_BTV - theirs_BTV).max() / np.abs(theirs_BTV).max()))


def _differing_tensors(place: Place, source: Source, shared: int) -> tuple[str, ...]:
    differing = []
    for name, layer in track(rows_of(source.config), "compare", unit="tensors"):
        theirs = source.tensors[name.hugging_face.format(layer)]
        array, dtype = open_array(place.tree, name.ours), np.dtype(theirs.dtype)
        if name.ours in (EMBED, HEAD):
            rows = pieces(shared, theirs.shape[1] * 4)
            same = all(
                np.array_equal(array[part].read().result().astype(dtype), theirs.read(part)) for part in rows
            )
        else:
            ours = (
                (array if layer is None else array[layer])
                .read()
                .result()
                .reshape(our_shape(name, place.model))
            )
            same = np.array_equal(to_theirs(name, ours.astype(dtype), place.model), theirs.read(slice(None)))
        if not same:
            differing.append(name.hugging_face.format(layer))
    return tuple(differing)


def _shared_rows(place: Place, folder: Path, theirs: ModelConfig) -> int:
    """Rows that importing the folder leaves as they are: all of them, or those of text where speech rows were
    added (also to rows of padding).
    """
    ours = place.vocabulary
    decided = plan(folder, theirs, Request(ours.streams, as_is=not ours.has_speech))
    return min(theirs.rows, place.model.rows) if decided.keep else ours.text_size


def _as_stored_by(llama: Llama, source: Source) -> Llama:
    """The model rounded to the types that the source's tensors have."""
    types = {
        name.ours: source.tensors[name.hugging_face.format(layer)].dtype
        for name, layer in rows_of(source.config)
    }
    leaves = [leaf.astype(types[name]).astype(jnp.float32) for name, leaf in named_arrays(llama).items()]
    return jax.tree.unflatten(jax.tree.structure(llama), leaves)


def _peer_logits(folder: Path, rope_theta: float, ids_BT: np.ndarray) -> np.ndarray:
    import torch  # pyright: ignore[reportMissingImports]
    from transformers import AutoConfig, AutoModelForCausalLM  # pyright: ignore[reportMissingImports]

    config: Any = AutoConfig.from_pretrained(folder)
    config.rope_parameters = {**config.rope_parameters, "rope_theta": rope_theta}
    peer = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()
    with torch.no_grad():
        return peer(torch.from_numpy(ids_BT)).logits.numpy()
