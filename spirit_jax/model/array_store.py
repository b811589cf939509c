"""Weights on disk, array by array: the Orbax layout written and read in pieces, so that no whole model is
ever in memory.

Orbax writes the frame (tree and formats); each array is a zarr folder that tensorstore fills piece by piece.
What `save` of a whole model wrote (one OCDBT store) is read the same way.
"""

import math
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore
from flax import nnx
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.model.llama import Llama

CHUNK_BYTES = 2**24  # so that a host of a pod reads little more than its own part: a choice
ROOM = "state"  # Orbax's name for the only tree of a checkpoint


def tree_paths(tree: object) -> dict[str, jax.Array]:
    """Leaves by dotted path, which is also the name that Orbax stores them under."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_dotted(path): leaf for path, leaf in leaves}


def by_layer(key: tuple[Any, ...], value: Any) -> ocp.options.ArrayOptions.Saving.StorageOptions | None:
    """For Orbax, how an array of a tree is cut where it is saved whole: a model's layers apart, so that one
    can be read without the others.
    """
    stacked = value.ndim and _dotted(key).startswith("layers.")
    return ocp.options.ArrayOptions.Saving.StorageOptions(shard_axes=(0,)) if stacked else None


def named_arrays(llama: Llama) -> dict[str, jax.Array]:
    """A model's arrays by dotted path."""
    return tree_paths(nnx.as_pure(llama))


def abstract_tree(cfg: ModelConfig) -> object:
    """The plain tree of a model's shapes."""
    return nnx.as_pure(jax.eval_shape(lambda: Llama(cfg, jax.random.key(0))))


def create_array(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> tensorstore.TensorStore:
    """An array to be filled in the layout of `folder`, or the one that is there already from an interrupted
    attempt.
    """
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 1}},
    ]
    metadata = {
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": _chunk(name, shape, np.dtype(dtype).itemsize)},
        },
        "codecs": codecs,
    }
    kvstore = {"driver": "file", "path": f"{folder.absolute() / ROOM / name}/"}
    return tensorstore.open(
        {"driver": "zarr3", "kvstore": kvstore, "metadata": metadata}, open=True, create=True
    ).result()


def write_frame(folder: Path, cfg: ModelConfig) -> None:
    """Makes `folder`, whose arrays are there, a checkpoint that Orbax loads."""
    context = ocp.Context()
    context.array.saving.use_ocdbt = False
    context.array.saving.array_metadata_store = None
    context.array.saving.enable_write_sharding_file = False
    frame = folder.with_name(folder.name + ".frame").absolute()
    shutil.rmtree(frame, ignore_errors=True)
    with context:
        ocp.save(
            str(frame), jax.tree.map(lambda leaf: np.zeros((1,) * leaf.ndim, np.float32), abstract_tree(cfg))
        )
    for path in sorted(frame.rglob("*")):
        inside = path.relative_to(frame)
        if path.is_file() and (inside.parts[0] != ROOM or len(inside.parts) == 2):
            path.replace(folder / inside)
    shutil.rmtree(frame)


def open_array(folder: Path, name: str) -> tensorstore.TensorStore:
    """An array of a stored tree, to be read. A UserError if it isn't there."""
    room = (folder / ROOM if (folder / ROOM).is_dir() else folder).absolute()
    packed = {"driver": "ocdbt", "base": f"file://{room}/", "path": f"{name}/"}
    kvstore = packed if (room / "manifest.ocdbt").is_file() else {"driver": "file", "path": f"{room / name}/"}
    try:
        return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result()
    except ValueError as error:
        raise UserError(
            "weights", room / name, "hold no such array", "use a folder that convert or train wrote"
        ) from error


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(str(getattr(key, "name", getattr(key, "key", key))) for key in path)


def _chunk(name: str, shape: tuple[int, ...], itemsize: int) -> list[int]:
    """Whole layers apart; the next axis cut until a chunk is small enough."""
    chunk = [1 if name.startswith("layers.") else shape[0], *shape[1:]]
    axis = 1 if name.startswith("layers.") and len(shape) > 1 else 0
    while math.prod(chunk) * itemsize > CHUNK_BYTES and chunk[axis] % 2 == 0:
        chunk[axis] //= 2
    return chunk
