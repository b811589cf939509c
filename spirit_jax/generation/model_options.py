"""Options of commands that load a `SpiritLM`: --checkpoint, --codec, --mesh, --dtype, --int8."""

import argparse

from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.model.device_options import add_dtype_argument, add_mesh_argument, read_mesh


def add_model_arguments(parser: argparse.ArgumentParser, checkpoint: str = "--checkpoint") -> None:
    """Adds the five; `checkpoint` is the name of the first."""
    parser.add_argument(
        checkpoint,
        required=True,
        help="run folder, one of its step folders, or a folder of converted weights",
    )
    parser.add_argument("--codec", help="codec folder with the model's streams (default: the checkpoint's)")
    add_mesh_argument(parser)
    add_dtype_argument(parser)
    parser.add_argument("--int8", action="store_true", help="one byte a weight (requirements-int8.txt)")


def load_lm(checkpoint: str, args: argparse.Namespace) -> SpiritLM:
    """The model in `checkpoint`, as the other options say."""
    return SpiritLM.load(checkpoint, args.codec, args.dtype, read_mesh(args.mesh), args.int8)
