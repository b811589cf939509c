"""Weights folders of models in memory, as `convert import` writes them."""

import shutil
from pathlib import Path

from flax import nnx
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import Dtype
from spirit_jax.model.checkpoint import WEIGHTS, LoadedModel, load_model, write_identity
from spirit_jax.model.llama import Llama
from spirit_jax.tokens.text import CONFIG_NAME, HUGGING_FACE_NAME, SENTENCEPIECE_NAME
from spirit_jax.tokens.vocabulary import Vocabulary


def save_weights(
    folder: Path,
    llama: Llama,
    vocabulary: Vocabulary,
    tokenizer: Path | None = None,
    codec: Path | None = None,
    origin: dict | None = None,
) -> None:
    """tokenizer, codec: folders to copy from."""
    folder.mkdir(parents=True)
    ocp.save(str((folder / WEIGHTS).absolute()), nnx.as_pure(llama))
    for name in (SENTENCEPIECE_NAME, HUGGING_FACE_NAME, CONFIG_NAME):
        if tokenizer is not None and (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    write_identity(folder, llama.cfg, vocabulary, codec, origin or {})


def load_stored(folder: Path, mesh: Mesh | None = None) -> LoadedModel:
    """With the numbers that are stored, whatever the type of its activations."""
    return load_model(folder, mesh, Dtype.FLOAT32)
