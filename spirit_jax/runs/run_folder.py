"""A run's folder: config.json, vocabulary.json, data.json, tokenizer, codec/, metrics.jsonl, tensorboard/,
checkpoints/STEP.

A folder belongs to one configuration and its data. It is on a disk or in a bucket. Nothing in it is renamed
but files: what consists of several files is complete when the last of them is there.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, NoReturn

from spirit_jax.config import RunConfig, Schedule, replace_paths
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import (
    copy_files,
    read_json,
    require_output_file,
    require_output_folder,
    write_json,
)
from spirit_jax.core.paths import AnyPath, in_bucket, resolved, to_path
from spirit_jax.core.settings import from_dict, to_dict
from spirit_jax.core.storage import check_storage, remove_folder
from spirit_jax.model.checkpoint import finished_steps
from spirit_jax.speech.codec_identity import CONFIG as CODEC_CONFIG
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

CHECKPOINTS = "checkpoints"
CODEC = "codec"
CONFIG = "config.json"
DATA = "data.json"  # fingerprints of the rows by their source's name, and shares of aligned records
SHARES = "alignment"  # key of data.json
# settings that a resumed run may change
FREE = (
    "mesh.",
    "optim.reduce_dtype",
    "train.log_every",
    "train.evaluate_every",
    "checkpoint.every_steps",
    "checkpoint.keep_last",
    "checkpoint.keep_every",
)


def has_steps(out: AnyPath) -> bool:
    """Whether there is a checkpoint, so that the run is resumed and its start weights are not needed."""
    return bool(finished_steps(out / CHECKPOINTS))


def check_places(out: str | AnyPath) -> AnyPath:
    """The folder. Raises a UserError if a run can't create its folders or files there."""
    out = to_path(out)
    if not in_bucket(out):
        for name in ("", CHECKPOINTS, "tensorboard"):
            require_output_folder(out / name, "run folder")
        for name in (CONFIG, "metrics.jsonl", DATA):
            require_output_file(out / name, f"run folder's {name}")
    check_storage(out, "run folder")
    return out


def check_owner(out: AnyPath, config: RunConfig) -> None:
    """Raises a UserError, showing the difference, if the folder holds a run of another configuration; or no
    run, but another codec.

    Mesh, checkpoint and logging intervals may differ, and the number of steps unless a cosine schedule
    depends on it: none of them changes the data's order or the numbers (a mesh, and the type in which its
    devices sum, only their rounding). Data may move, since `check_identity` compares its fingerprints; the
    first weights may move with their folder's name.
    """
    free = FREE if config.optim.schedule is Schedule.COSINE else (*FREE, "train.steps")
    refuse_other(out, config, free, _without_places if (out / DATA).is_file() else _unchanged)
    has_codec = (out / CODEC / CODEC_CONFIG).is_file()
    if config.data.codec is not None and has_codec and not (out / CONFIG).is_file():
        there, ours = (read_identity(folder).fingerprint for folder in (out / CODEC, config.data.codec))
        if there != ours:
            raise UserError(
                "run folder",
                out,
                f"holds the codec {there}, which {ours} of data.codec would replace",
                "use another --out",
            )


def check_identity(out: AnyPath, codec: str | None, tokenizer: str, rows: dict[str, str]) -> None:
    """Raises a UserError, naming both, if the run to resume was trained with another tokenizer or speech
    encoder, or on other rows, wherever they are stored.

    codec: the codec's folder, None without speech. tokenizer, rows: fingerprints, those of the rows by
    source.
    """
    if (there := TextTokenizer.load(out).fingerprint) != tokenizer:
        _refuse_learned(out, "tokenizer", there, tokenizer)
    if codec is not None:
        there, ours = (read_identity(folder).fingerprint for folder in (out / CODEC, codec))
        if there != ours:
            _refuse_learned(out, "speech encoder", there, ours)
    check_data(out, rows)


def check_data(out: AnyPath, rows: dict[str, str]) -> None:
    """Raises a UserError, naming both fingerprints, if the run in the folder was trained on other rows.

    Rows that an earlier version did not write down are not compared.
    """
    if not has_steps(out) or not (out / DATA).is_file():  # runs of earlier versions have no data.json
        return
    begun = read_json(out / DATA)
    for name, ours in rows.items():
        if (there := begun.get(name, ours)) != ours:
            _refuse_learned(out, f"data {name}", there, ours)


def _unchanged(config: Any) -> Any:
    return config


def _without_places(config: RunConfig) -> RunConfig:
    """What is left of the paths is compared."""
    return replace_paths(config, lambda path: "", lambda path: PurePosixPath(path).name)


def refuse_other(
    out: AnyPath, config: Any, free: tuple[str, ...], compared: Callable[[Any], Any] = _unchanged
) -> None:
    """Raises a UserError if the folder's config.json differs from `config`, of the same type, in keys that
    don't begin with one of `free`.

    compared: what of both is compared.
    """
    if not (out / CONFIG).is_file():
        if has_steps(out):
            raise UserError("run folder", out, "has checkpoints but no config.json", "use another --out")
        return
    try:
        there = _flat(to_dict(compared(from_dict(read_json(out / CONFIG), type(config)))))
    except UserError as error:
        raise UserError(
            "run folder", out, f"holds something else than such a run ({error})", "use another --out"
        ) from error
    here = _flat(to_dict(compared(config)))
    differing = [
        f"{key} {json.dumps(there.get(key))} there, {json.dumps(here.get(key))} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key) and not key.startswith(free)
    ]
    if differing:
        raise UserError(
            "run folder",
            out,
            f"belongs to another configuration: {', '.join(differing)}",
            "use another --out, or start it as it was begun",
        )


def write_identity(
    out: AnyPath,
    config: RunConfig,
    vocabulary: Vocabulary,
    tokenizer: TextTokenizer,
    rows: dict[str, str],
    shares: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes what makes the folder usable alone: tokenizer, codec, vocabulary, the rows' fingerprints and
    shares of aligned records by source, and last the configuration.
    """
    tokenizer.save(out)
    codec = None if config.data.codec is None else resolved(config.data.codec)
    if codec is not None and codec != resolved(out / CODEC):
        remove_folder(out / CODEC)
        copy_files(codec, out / CODEC, last=CODEC_CONFIG)
    write_json(out / "vocabulary.json", vocabulary.to_dict())
    write_json(out / DATA, {**rows, SHARES: shares} if shares else rows)
    write_config(out, config)


def write_config(out: AnyPath, config: Any) -> None:
    """Writes the configuration: a resumed run may have changed its free settings."""
    write_json(out / CONFIG, to_dict(config))


def _refuse_learned(out: AnyPath, what: str, there: str, ours: str) -> NoReturn:
    raise UserError(
        what, ours, f"the run in {out} learned {there}", "bring back what it began with, or use another --out"
    )


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
