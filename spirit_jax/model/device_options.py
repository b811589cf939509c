"""Options of commands that load a model: on which devices, and in which type, it is held."""

import argparse
from collections.abc import Sequence

from spirit_jax.config import Dtype
from spirit_jax.core.errors import UserError
from spirit_jax.sharding import INFERENCE_AXES


def add_mesh_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--mesh`; `read_mesh` reads its words."""
    parser.add_argument(
        "--mesh",
        nargs="+",
        metavar="AXIS=SIZE",
        default=[],
        help="devices over which the model is split, such as tensor=4 (default: the first device)",
    )


def add_dtype_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--dtype`, a Dtype's value or None."""
    parser.add_argument(
        "--dtype",
        choices=[dtype.value for dtype in Dtype],
        help="type of weights and activations (default: the model's activations)",
    )


def read_mesh(words: Sequence[str]) -> dict[str, int]:
    """Sizes by axis from words such as "tensor=4". Raises a UserError for others."""
    sizes: dict[str, int] = {}
    for word in words:
        axis, _, size = word.partition("=")
        if axis not in INFERENCE_AXES or axis in sizes or not size.isdecimal() or int(size) < 1:
            rule = f"must be AXIS=SIZE, each of {', '.join(INFERENCE_AXES)} at most once"
            raise UserError("--mesh", word, rule, "for example --mesh tensor=4")
        sizes[axis] = int(size)
    return sizes
