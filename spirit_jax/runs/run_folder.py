"""A run's folder: config.json, vocabulary.json, data.json, tokenizer, codec/, metrics.jsonl, tensorboard/,
checkpoints/STEP.

It belongs to one configuration and its data.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

from spirit_jax.config import RunConfig, Schedule
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_file_place, require_place, write_atomically, write_json
from spirit_jax.core.settings import from_dict, to_dict
from spirit_jax.speech.codec import read_identity
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.training.data.sources import Sources

CHECKPOINTS = "checkpoints"
CODEC = "codec"
DATA = "data.json"  # fingerprints of the rows that are trained on, by their source's name
FREE = (
    "mesh.",
    "train.log_every",
    "train.evaluate_every",
    "checkpoint.every_steps",
    "checkpoint.keep_last",
    "checkpoint.keep_every",
)


def has_steps(out: Path) -> bool:
    """Whether a checkpoint is there, so that the run is resumed and its start weights are not needed again."""
    return any(step.name.isdigit() for step in (out / CHECKPOINTS).glob("*"))


def check_places(out: str | Path) -> Path:
    """The folder. UserError if it, or what a run writes into it, can't be a folder or a file there."""
    for name in ("", CHECKPOINTS, "tensorboard"):
        require_place(Path(out) / name, "run folder")
    for name in ("config.json", "metrics.jsonl", DATA):
        require_file_place(Path(out) / name, f"run folder's {name}")
    return Path(out)


def check_owner(out: Path, config: RunConfig) -> None:
    """Raises a UserError, showing the difference, if the folder holds a run of another configuration; or no
    run, but another codec.

    Mesh, checkpoint and logging intervals may differ, and the number of steps unless a cosine schedule
    depends on it: none of them changes the data's order or the numbers (a mesh only their rounding).
    """
    refuse_other(out, config, FREE if config.optim.schedule is Schedule.COSINE else (*FREE, "train.steps"))
    if config.data.codec is not None and (out / CODEC).exists() and not (out / "config.json").is_file():
        there, ours = (read_identity(folder).fingerprint for folder in (out / CODEC, config.data.codec))
        if there != ours:
            raise UserError(
                "run folder",
                out,
                f"holds the codec {there}, which {ours} of data.codec would replace",
                "use another --out",
            )


def check_identity(out: Path, config: RunConfig, sources: Sources) -> None:
    """Raises a UserError, naming both, if a run that is to be resumed learned another tokenizer's or
    encoder's ids than its sources have, or from other rows.
    """
    pairs = [("tokenizer", TextTokenizer.load(out).fingerprint, sources.tokenizer.fingerprint)]
    if config.data.codec is not None:
        pairs.append(
            (
                "speech encoder",
                *(read_identity(folder).fingerprint for folder in (out / CODEC, config.data.codec)),
            )
        )
    for what, there, ours in pairs:
        if there != ours:
            _refuse_learned(out, what, there, ours)
    check_data(out, sources.fingerprints)


def check_data(out: Path, fingerprints: dict[str, str]) -> None:
    """Raises a UserError, naming both, if the run in the folder learned from other rows."""
    if not has_steps(out) or not (out / DATA).is_file():  # runs begun by earlier versions have none
        return
    begun = read_json(out / DATA)
    for name, ours in fingerprints.items():
        if begun.get(name) != ours:
            _refuse_learned(out, f"data {name}", begun.get(name), ours)


def refuse_other(out: Path, config: Any, free: tuple[str, ...]) -> None:
    """Raises a UserError if the folder's config.json differs from `config`, of the same kind, in keys that
    don't begin with one of `free`.
    """
    if not (out / "config.json").is_file():
        if has_steps(out):
            raise UserError("run folder", out, "has checkpoints but no config.json", "use another --out")
        return
    try:
        there = _flat(to_dict(from_dict(read_json(out / "config.json"), type(config))))
    except UserError as error:
        raise UserError(
            "run folder", out, f"holds something else than such a run ({error})", "use another --out"
        ) from error
    here = _flat(to_dict(config))
    differing = [
        key
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key) and not key.startswith(free)
    ]
    if differing:
        shown = ", ".join(
            f"{key} {json.dumps(there.get(key))} there, {json.dumps(here.get(key))} here" for key in differing
        )
        raise UserError(
            "run folder",
            out,
            f"belongs to another configuration: {shown}",
            "use another --out, or start it as it was begun",
        )


def write_identity(out: Path, config: RunConfig, sources: Sources | None) -> None:
    """Writes what the folder needs to be used alone: tokenizer, codec and vocabulary, and the configuration
    last.

    Without `sources` (a resumed run) the configuration alone, since its free parts may have changed.
    """
    out.mkdir(parents=True, exist_ok=True)
    if sources is not None:
        sources.tokenizer.save(out)
        if config.data.codec is not None and Path(config.data.codec).resolve() != (out / CODEC).resolve():
            with write_atomically(out / CODEC) as partial:
                shutil.copytree(config.data.codec, partial)
        write_json(out / "vocabulary.json", sources.vocabulary.to_dict())
        write_json(out / DATA, sources.fingerprints)
    write_json(out / "config.json", to_dict(config))


def _refuse_learned(out: Path, what: str, there: str, ours: str) -> NoReturn:
    raise UserError(
        what, ours, f"the run in {out} learned {there}", "bring back what it began with, or use another --out"
    )


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
