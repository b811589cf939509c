"""Weights with all that is needed to use them, in one folder; and loading them from any folder that this
project writes.

A weights folder: config.json {"format", "model", "vocabulary", "origin"}, weights/ (Orbax), the tokenizer's
files and codec/ where there are any. A run folder is described in `spirit_jax.runs.run_folder`.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import DataConfig, Dtype, MeshConfig, ModelConfig, RunConfig, Source
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_folder, write_atomically, write_json
from spirit_jax.core.settings import from_dict, to_dict
from spirit_jax.model.llama import Llama, abstract
from spirit_jax.sharding import make_mesh
from spirit_jax.tokens.vocabulary import Vocabulary

FORMAT = 1
WEIGHTS, CHECKPOINTS, CODEC = "weights", "checkpoints", "codec"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")


@dataclasses.dataclass(frozen=True)
class Place:
    """A model's parts on disk. data: what it was trained on; a converted model has seen none, and its texts
    have no end.

    weights: the Orbax folder with the model's tree; room: the name of the tree in it; origin: facts kept for
    exporting.
    """

    weights: Path
    room: str | None
    model: ModelConfig
    vocabulary: Vocabulary
    tokenizer_path: Path | None
    codec_path: Path | None
    data: DataConfig
    origin: dict[str, Any]

    @property
    def tree(self) -> Path:
        """The folder of the model's tree itself."""
        return self.weights if self.room is None else self.weights / self.room


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model in memory with what it needs: paths of tokenizer and codec are None where the
    folder has none.
    """

    llama: Llama
    config: ModelConfig
    vocabulary: Vocabulary
    tokenizer_path: Path | None
    codec_path: Path | None
    data: DataConfig


def load_model(path: str | Path, mesh: Mesh | None = None, dtype: Dtype | None = None) -> LoadedModel:
    """Loads a weights folder, a run folder (its latest step) or one step's folder, split over `mesh` or on
    the first device.

    `dtype` replaces the type of activations. Raises a UserError where there is nothing to load.
    """
    place = find_model(path)
    config = place.model if dtype is None else dataclasses.replace(place.model, dtype=dtype)
    llama = _restore(place, config, mesh)
    return LoadedModel(llama, config, place.vocabulary, place.tokenizer_path, place.codec_path, place.data)


def load_weights(path: str | Path, mesh: Mesh | None = None) -> tuple[Llama, ModelConfig]:
    """The model of `load_model` alone."""
    loaded = load_model(path, mesh)
    return loaded.llama, loaded.config


def save_weights(
    folder: str | Path,
    llama: Llama,
    vocabulary: Vocabulary,
    tokenizer: Path | None = None,
    codec: Path | None = None,
    origin: dict | None = None,
) -> None:
    """Writes a weights folder, whole or not at all. `tokenizer`: a file, or a folder with one; `codec`: a
    codec's folder.
    """
    with write_atomically(folder) as partial:
        partial.mkdir()
        ocp.save(str((partial / WEIGHTS).absolute()), nnx.as_pure(llama))
        write_identity(partial, llama.cfg, vocabulary, tokenizer, codec, origin or {})


def write_identity(
    folder: Path,
    cfg: ModelConfig,
    vocabulary: Vocabulary,
    tokenizer: Path | None,
    codec: Path | None,
    origin: dict,
) -> None:
    """Writes what goes beside the weights; config.json last."""
    if tokenizer is not None:
        beside = tokenizer if tokenizer.is_dir() else tokenizer.parent
        names = TOKENIZER_FILES if tokenizer.is_dir() else (tokenizer.name, "tokenizer_config.json")
        for name in names:
            if (beside / name).is_file():
                shutil.copyfile(beside / name, folder / name)
    if codec is not None:
        shutil.copytree(require_folder(codec, "codec"), folder / CODEC)
    write_json(
        folder / "config.json",
        {"format": FORMAT, "model": to_dict(cfg), "vocabulary": vocabulary.to_dict(), "origin": origin},
    )


def find_model(path: str | Path) -> Place:
    """Where the parts of a model lie; see `load_model`."""
    path = require_folder(path, "checkpoint")
    if (path / WEIGHTS).is_dir():
        return _find_converted(path)
    if (path / CHECKPOINTS).is_dir():
        steps = [step for step in (path / CHECKPOINTS).iterdir() if step.name.isdigit()]
        if not steps:
            raise UserError(
                "checkpoint", path, "has no finished step yet", "train further, or name another run"
            )
        return _find_step(max(steps, key=lambda step: int(step.name)), path)
    if path.name.isdigit() and path.parent.name == CHECKPOINTS:
        return _find_step(path, path.parent.parent)
    rule = f"holds no model: neither {WEIGHTS}/ nor {CHECKPOINTS}/, nor is it a step of a run"
    raise UserError("checkpoint", path, rule, "name what `convert import` or `train` wrote")


def _find_converted(folder: Path) -> Place:
    values = read_json(folder / "config.json")
    if values.get("format") != FORMAT or not {"model", "vocabulary", "origin"} <= values.keys():
        raise UserError(
            "checkpoint", folder, f"has a config.json that is not of format {FORMAT}", "convert it again"
        )
    tokenizer, codec = _beside(folder)
    data = DataConfig(str(folder), (Source(str(folder)),), append_eos=False)
    model, vocabulary = from_dict(values["model"], ModelConfig), Vocabulary.from_dict(values["vocabulary"])
    return Place(folder / WEIGHTS, None, model, vocabulary, tokenizer, codec, data, values["origin"])


def _find_step(step: Path, run: Path) -> Place:
    config = from_dict(read_json(run / "config.json"), RunConfig)
    tokenizer, codec = _beside(run)
    vocabulary = Vocabulary.from_dict(read_json(run / "vocabulary.json"))
    return Place(step, "model", config.model, vocabulary, tokenizer, codec, config.data, {})


def _beside(folder: Path) -> tuple[Path | None, Path | None]:
    tokenizer = folder if any((folder / name).is_file() for name in TOKENIZER_FILES[:2]) else None
    return tokenizer, folder / CODEC if (folder / CODEC).is_dir() else None


def _restore(place: Place, config: ModelConfig, mesh: Mesh | None) -> Llama:
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]) if mesh is None else mesh
    shapes = abstract(config, mesh)
    named = {} if place.room is None else {"checkpointable_name": place.room}
    try:
        tree = ocp.load(str(place.weights.absolute()), nnx.as_pure(shapes), **named)
    except (ValueError, KeyError, FileNotFoundError) as error:
        raise UserError(
            "weights",
            place.weights,
            f"don't load: {error}".splitlines()[0],
            "the folder is damaged: convert or train again",
        ) from error
    return jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(tree))
