"""Weights folders of models in memory, as `convert import` writes them."""

import shutil
from pathlib import Path

from flax import nnx
from orbax.checkpoint import v1 as ocp

from spirit_jax.model.checkpoint import WEIGHTS, write_identity
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
