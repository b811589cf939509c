"""Arrays of a tree of modules by name: what checkpoints hold, since Orbax can't order a module's lists."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
from flax import nnx

M = TypeVar("M")


def named_arrays(tree: Any) -> dict[str, Any]:
    """The leaves by dotted path."""
    leaves = jax.tree_util.tree_flatten_with_path(nnx.as_pure(tree))[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def with_arrays(tree: M, arrays: Mapping[str, Any]) -> M:
    """The tree with other leaves, by the names of `named_arrays`."""
    return jax.tree.unflatten(jax.tree.structure(tree), [arrays[name] for name in named_arrays(tree)])
