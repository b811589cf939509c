"""Proof of a conversion: the stored tensors against the source's, and the logits of both sides where transformers is installed."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.config import Dtype, ModelConfig
from spirit_jax.errors import UserError
from spirit_jax.files import require_file, require_folder, write_atomically
from spirit_jax.model.checkpoint import Place, find_model, load_model
from spirit_jax.model.llama import Llama
from spirit_jax.model.names import EMBED, HEAD, our_shape, rows_of, to_theirs
from spirit_jax.model.sources import open_source, pieces
from spirit_jax.model.stored import open_array
from spirit_jax.model.vocabulary import Request, plan
from spirit_jax.progress import track

TOLERANCE = 2e-4  # of the largest logit, float32
PROBE = (2, 64)  # rows and tokens of the ids that both sides see


@dataclasses.dataclass(frozen=True)
class Difference:
    """tensors: names of tensors that differ in a bit; logits: largest difference by the largest logit, None if transformers didn't run."""

    tensors: tuple[str, ...]
    logits: float | None
    why_not: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both sides are the same model."""
        return not self.tensors and (self.logits is None or self.logits <= TOLERANCE)


def write_logits(checkpoint: str | Path, ids: str | Path, out: str | Path) -> np.ndarray:
    """Logits in float32 [B, T, V] of int ids [B, T] or [T] in a .npy file, written to another; padding rows included."""
    ids_BT = np.atleast_2d(np.load(require_file(ids, "ids")))
    loaded = load_model(checkpoint, dtype=Dtype.FLOAT32)
    if ids_BT.ndim != 2 or ids_BT.dtype.kind not in "iu" or not 0 <= ids_BT.min() <= ids_BT.max() < loaded.config.rows:
        raise UserError(
            "ids", f"{ids_BT.dtype} {ids_BT.shape}", f"must be integers [B, T] from 0 to {loaded.config.rows - 1}", "save them with numpy.save"
        )
    logits_BTV = our_logits(loaded.llama, ids_BT)
    with write_atomically(out) as partial, open(partial, "wb") as file:
        np.save(file, logits_BTV)
    return logits_BTV


def our_logits(llama: Llama, ids_BT: np.ndarray) -> np.ndarray:
    """Float32 logits [B, T, V] of rows that are one segment each."""
    ids_BT = ids_BT.astype(np.int32)
    positions_BT = np.broadcast_to(np.arange(ids_BT.shape[1], dtype=np.int32), ids_BT.shape)
    return np.asarray(jax.jit(lambda m, i, p: m(i, p)[0].astype(jnp.float32))(llama, ids_BT, positions_BT))


def verify(checkpoint: str | Path, source: str | Path) -> Difference:
    """Compares a converted model with the folder that it came from, or an export with the model that it was made of.

    Rows that conversion added are left out; a changed rotary base is given to the other side too.
    """
    place, folder = find_model(checkpoint), require_folder(source, "source")
    differing = _differing_tensors(place, folder)
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        return Difference(differing, None, "transformers is not installed: pip install -r requirements-parity.txt")
    if not (folder / "config.json").is_file():
        return Difference(differing, None, "transformers doesn't read Meta's format")
    return Difference(differing, _logit_difference(checkpoint, place, folder))


def _differing_tensors(place: Place, folder: Path) -> tuple[str, ...]:
    source, differing = open_source(folder), []
    for key in ("width", "layers", "heads", "kv_heads", "head_width", "mlp_width", "tied"):
        if getattr(source.config, key) != getattr(place.model, key):
            raise UserError(
                f"model.{key}", getattr(place.model, key), f"is {getattr(source.config, key)} in {folder}", "compare folders that belong together"
            )
    shared = _shared_rows(place, folder, source.config)
    for name, layer in track(rows_of(source.config), "compare", unit="tensors"):
        theirs = source.tensors[name.hugging_face.format(layer)]
        array = open_array(place.weights if place.room is None else place.weights / place.room, name.ours)
        if name.ours in (EMBED, HEAD):
            rows = pieces(shared, theirs.shape[1] * 4)
            same = all(np.array_equal(array[part].read().result(), theirs.read(part)) for part in rows)
        else:
            ours = np.asarray((array if layer is None else array[layer]).read().result()).reshape(our_shape(name, place.model))
            same = np.array_equal(to_theirs(name, ours, place.model), theirs.read(slice(None)))
        if not same:
            differing.append(name.hugging_face.format(layer))
    return tuple(differing)


def _shared_rows(place: Place, folder: Path, theirs: ModelConfig) -> int:
    """Rows that importing the folder leaves as they are: all of them, or those of text where speech rows were added (also to rows of padding)."""
    ours = place.vocabulary
    decided = plan(folder, theirs, Request(ours.units, ours.pitches, ours.styles, as_is=not ours.has_speech))
    return min(theirs.rows, place.model.rows) if decided.keep else ours.text_size


def _logit_difference(checkpoint: str | Path, place: Place, folder: Path) -> float:
    import torch  # pyright: ignore[reportMissingImports]
    from transformers import AutoConfig, AutoModelForCausalLM  # pyright: ignore[reportMissingImports]

    config: Any = AutoConfig.from_pretrained(folder)
    config.rope_parameters = {**config.rope_parameters, "rope_theta": place.model.rope_theta}
    peer = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()
    rows = _shared_rows(place, folder, open_source(folder).config)
    ids_BT = np.random.default_rng(0).integers(0, rows, PROBE)
    with torch.no_grad():
        theirs_BTV = peer(torch.from_numpy(ids_BT)).logits[..., :rows].numpy()
    del peer
    ours_BTV = our_logits(load_model(checkpoint, dtype=Dtype.FLOAT32).llama, ids_BT)[..., :rows]
    return float(np.abs(ours_BTV - theirs_BTV).max() / np.abs(theirs_BTV).max())
