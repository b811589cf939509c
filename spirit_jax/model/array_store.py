"""Arrays of a stored model, one at a time: a conversion never has the whole model in memory.

The layout is Orbax's without OCDBT: each array is a zarr folder that tensorstore fills slice by slice, and
Orbax adds the metadata. `open_array` also reads the OCDBT layout that saving a whole model writes.
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
from spirit_jax.core.paths import AnyPath
from spirit_jax.model.llama import Llama

CHUNK_BYTES = 2**24  # our choice: a host of a pod reads little more than its own part
# what was read once is not asked for again at each slice
WRITTEN_ONCE = {"recheck_cached_metadata": False, "recheck_cached_data": False}
TREE_FOLDER = "state"  # Orbax's name for the only tree of a checkpoint


def named_arrays(llama: Llama) -> dict[str, jax.Array]:
    """A model's arrays by dotted path, the name under which Orbax stores them. Also works for shapes."""
    leaves = jax.tree_util.tree_flatten_with_path(nnx.as_pure(llama))[0]
    return {_dotted(path): leaf for path, leaf in leaves}


def chunk_by_layer(key: tuple[Any, ...], value: Any) -> ocp.options.ArrayOptions.Saving.StorageOptions | None:
    """Orbax's storage options for an array of a model that is saved whole: one chunk for each layer, so that
    a layer can be read without the others.
    """
    stacked = value.ndim and _dotted(key).startswith("layers.")
    return ocp.options.ArrayOptions.Saving.StorageOptions(shard_axes=(0,)) if stacked else None


def create_array(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> tensorstore.TensorStore:
    """Creates an array to be filled, or opens the one that an interrupted attempt created."""
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 1}},
    ]
    chunk = _chunk_shape(name, shape, np.dtype(dtype).itemsize)
    metadata = {
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": codecs,
    }
    kvstore = {"driver": "file", "path": f"{folder.absolute() / TREE_FOLDER / name}/"}
    return tensorstore.open(
        {"driver": "zarr3", "kvstore": kvstore, "metadata": metadata}, open=True, create=True
    ).result()


def write_metadata(folder: Path, cfg: ModelConfig) -> None:
    """Adds Orbax's metadata to the arrays in `folder`, which makes it a checkpoint that Orbax loads.

    Orbax writes the metadata only together with arrays, so tiny ones are saved and left out.
    """
    context = ocp.Context()
    context.array.saving.use_ocdbt = False
    context.array.saving.array_metadata_store = None
    context.array.saving.enable_write_sharding_file = False
    shapes = nnx.as_pure(jax.eval_shape(lambda: Llama(cfg, jax.random.key(0))))
    saved = folder.with_name(folder.name + ".metadata").absolute()
    shutil.rmtree(saved, ignore_errors=True)
    with context:
        ocp.save(str(saved), jax.tree.map(lambda leaf: np.zeros((1,) * leaf.ndim, np.float32), shapes))
    for path in sorted(saved.rglob("*")):
        inside = path.relative_to(saved)
        if path.is_file() and (inside.parts[0] != TREE_FOLDER or len(inside.parts) == 2):
            path.replace(folder / inside)
    shutil.rmtree(saved)


def open_array(folder: AnyPath, name: str) -> tensorstore.TensorStore:
    """Opens an array of a stored tree for reading. UserError if it is missing."""
    tree = folder / TREE_FOLDER if (folder / TREE_FOLDER).is_dir() else folder
    ocdbt = {"driver": "ocdbt", "base": _kvstore(tree), "path": f"{name}/"}
    kvstore = ocdbt if (tree / "manifest.ocdbt").is_file() else _kvstore(tree / name)
    try:
        return tensorstore.open({"driver": "zarr3", "kvstore": kvstore, **WRITTEN_ONCE}, read=True).result()
    except ValueError as error:
        raise UserError(
            "weights", tree / name, "have no such array", "use a folder that convert or train wrote"
        ) from error


def _kvstore(folder: AnyPath) -> dict[str, str]:
    """A folder as tensorstore names it."""
    if isinstance(folder, Path):
        return {"driver": "file", "path": f"{folder.absolute()}/"}
    _, _, bucket, *inside = folder.parts
    return {"driver": "gcs", "bucket": bucket, "path": f"{'/'.join(inside)}/"}


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(str(getattr(key, "name", getattr(key, "key", key))) for key in path)


def _chunk_shape(name: str, shape: tuple[int, ...], itemsize: int) -> list[int]:
    """One layer in a chunk; the next axis is halved until a chunk has at most CHUNK_BYTES."""
    stacked = name.startswith("layers.")
    chunk = [1 if stacked else shape[0], *shape[1:]]
    axis = 1 if stacked and len(shape) > 1 else 0
    while math.prod(chunk) * itemsize > CHUNK_BYTES and chunk[axis] % 2 == 0:
        chunk[axis] //= 2
    return chunk
