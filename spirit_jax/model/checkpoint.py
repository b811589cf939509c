"""Weights folders, and loading a model from a weights folder or a run folder.

A weights folder contains config.json {"format", "model", "vocabulary", "origin"}, weights/ (Orbax) and, where
the model has them, the tokenizer's files and codec/. `spirit_jax.runs.run_folder` describes a run folder.
Both may be in a bucket.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import DataConfig, Dtype, MeshConfig, ModelConfig, RunConfig, Source
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import existing_folder, read_json, read_optional_json, require_folder, write_json
from spirit_jax.core.paths import AnyPath, resolved
from spirit_jax.core.settings import from_dict, to_dict
from spirit_jax.model.int8 import quantize_weights
from spirit_jax.model.llama import Llama, abstract
from spirit_jax.sharding import make_inference_mesh, make_mesh
from spirit_jax.tokens.text import HUGGING_FACE_NAME, SENTENCEPIECE_NAME
from spirit_jax.tokens.vocabulary import Vocabulary

FORMAT = 1
WEIGHTS, CHECKPOINTS, CODEC = "weights", "checkpoints", "codec"
MODEL = "model"  # the model among the trees of a run's checkpoint
COMMIT = "commit_success.txt"  # Orbax writes it last: the folder of a step is complete
BROKEN = "broken.txt"  # why a complete step is not used: written by training when it can't be read
METADATA = "_CHECKPOINT_METADATA"  # Orbax's, of a step


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A model on disk: its configuration and the paths of its parts.

    weights: an Orbax checkpoint. tree: the name of the model's tree in it; None if there is no other.
    data: how the model was trained; a converted model's documents have no EOS. origin: values for an export.
    """

    weights: AnyPath
    tree: str | None
    model: ModelConfig
    vocabulary: Vocabulary
    tokenizer_path: AnyPath | None
    codec_path: AnyPath | None
    data: DataConfig
    origin: dict[str, Any]

    @property
    def tree_folder(self) -> AnyPath:
        """The folder with the model's arrays."""
        return self.weights if self.tree is None else self.weights / self.tree


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model in memory. The paths of tokenizer and codec are None if its folder has none."""

    llama: Llama
    config: ModelConfig
    vocabulary: Vocabulary
    tokenizer_path: AnyPath | None
    codec_path: AnyPath | None
    data: DataConfig


def load_model(
    path: str | AnyPath, mesh: Mesh | None = None, dtype: Dtype | None = None, int8: bool = False
) -> LoadedModel:
    """Loads a weights folder, a run folder (its latest step) or the folder of one step, onto `mesh` or the
    first device. Each device reads its own part.

    The weights get the type of the activations, in which the model uses them: a float32 model stays float32,
    and bfloat16 needs half the memory. `dtype` replaces this type. int8: one byte a weight, made in the
    host's memory, for one device (`spirit_jax.model.int8`). UserError if there is no model or its weights are
    damaged.
    """
    stored = find_stored_model(path)
    config = stored.model if dtype is None else dataclasses.replace(stored.model, dtype=dtype)
    mesh = make_inference_mesh({}) if mesh is None else mesh
    llama = _restore_int8(stored, config, mesh) if int8 else _restore(stored, config, mesh)
    return LoadedModel(
        llama, config, stored.vocabulary, stored.tokenizer_path, stored.codec_path, stored.data
    )


def write_identity(
    folder: Path, cfg: ModelConfig, vocabulary: Vocabulary, codec: Path | None, origin: dict[str, Any]
) -> None:
    """Writes the codec and config.json of a weights folder, config.json last. `codec` is a codec's folder."""
    if codec is not None:
        shutil.copytree(require_folder(codec, "codec"), folder / CODEC)
    write_json(
        folder / "config.json",
        {"format": FORMAT, "model": to_dict(cfg), "vocabulary": vocabulary.to_dict(), "origin": origin},
    )


def finished_steps(checkpoints: AnyPath) -> list[int]:
    """The steps in a run's folder of checkpoints that are complete and not broken, ascending.

    A bucket's folder is gone with its last file: a run that begins again removes what it left unfinished.
    """
    try:
        names = [path.name for path in checkpoints.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        names = []
    return sorted(int(name) for name in names if name.isdigit() and is_finished(checkpoints / name))


def is_finished(step: AnyPath) -> bool:
    """Whether a step's folder is complete and not broken.

    Where Orbax's last file is missing, its metadata says when the rest was complete: killed between the two,
    or saved by an earlier version.
    """
    if (step / COMMIT).is_file():
        return True
    try:
        complete = read_optional_json(step / METADATA).get("commit_timestamp_nsecs") is not None
    except UserError:  # half of it was written
        return False
    return complete and not (step / BROKEN).is_file()


def find_stored_model(path: str | AnyPath) -> StoredModel:
    """Finds the parts of a model without reading its weights; `load_model` says where."""
    path = existing_folder(path, "checkpoint")
    if (path / WEIGHTS).is_dir():
        return _read_weights_folder(path)
    if (path / CHECKPOINTS).is_dir():
        steps = finished_steps(path / CHECKPOINTS)
        if not steps:
            raise UserError(
                "checkpoint", path, "has no finished step yet", "train further, or name another run"
            )
        return _read_step(path / CHECKPOINTS / str(steps[-1]), path)
    if path.name.isdigit() and path.parent.name == CHECKPOINTS:
        if not is_finished(path):
            raise UserError("checkpoint", path, "is not complete, or broken", "name another step, or the run")
        return _read_step(path, path.parent.parent)
    rule = f"contains no model: neither {WEIGHTS}/ nor {CHECKPOINTS}/, nor is it a step of a run"
    raise UserError("checkpoint", path, rule, "name what `convert import` or `train` wrote")


def _read_weights_folder(folder: AnyPath) -> StoredModel:
    values = read_json(folder / "config.json")
    if values.get("format") != FORMAT or not {"model", "vocabulary", "origin"} <= values.keys():
        raise UserError(
            "checkpoint", folder, f"has a config.json that is not of format {FORMAT}", "convert it again"
        )
    tokenizer, codec = _find_tokenizer_and_codec(folder)
    data = DataConfig(str(folder), (Source(str(folder)),), append_eos=False)
    model, vocabulary = from_dict(values["model"], ModelConfig), Vocabulary.from_dict(values["vocabulary"])
    return StoredModel(folder / WEIGHTS, None, model, vocabulary, tokenizer, codec, data, values["origin"])


def _read_step(step: AnyPath, run: AnyPath) -> StoredModel:
    config = from_dict(read_json(run / "config.json"), RunConfig)
    tokenizer, codec = _find_tokenizer_and_codec(run)
    vocabulary = Vocabulary.from_dict(read_json(run / "vocabulary.json"))
    return StoredModel(step, MODEL, config.model, vocabulary, tokenizer, codec, config.data, {})


def _find_tokenizer_and_codec(folder: AnyPath) -> tuple[AnyPath | None, AnyPath | None]:
    names = (SENTENCEPIECE_NAME, HUGGING_FACE_NAME)
    tokenizer = folder if any((folder / name).is_file() for name in names) else None
    return tokenizer, folder / CODEC if (folder / CODEC).is_dir() else None


def _restore_int8(stored: StoredModel, config: ModelConfig, mesh: Mesh) -> Llama:
    if mesh.size > 1:
        rule = f"is for one device, and --mesh has {mesh.size}"
        raise UserError("--int8", True, rule, "leave out one of the two")
    host = make_mesh(MeshConfig(fsdp=1), jax.local_devices(backend="cpu")[:1])
    return jax.device_put(
        quantize_weights(_restore(stored, config, host)), NamedSharding(mesh, PartitionSpec())
    )


def _restore(stored: StoredModel, config: ModelConfig, mesh: Mesh) -> Llama:
    shapes = abstract(config, mesh, config.dtype)
    named = {} if stored.tree is None else {"checkpointable_name": stored.tree}
    try:
        tree = ocp.load(str(resolved(stored.weights)), nnx.as_pure(shapes), **named)
    except (ValueError, KeyError, FileNotFoundError) as error:
        raise UserError(
            "weights",
            stored.weights,
            f"cannot be loaded: {error}".splitlines()[0],
            "the folder is damaged: convert or train again",
        ) from error
    return jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(tree))
