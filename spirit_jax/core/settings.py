"""Settings as frozen dataclasses: checked when made, and the same in Python, in JSON and on the command line.

A recipe is a Python file with a function `config()` that returns one.
"""

import dataclasses
import difflib
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import pydantic

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_file

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def part(cls: type[T]) -> type[T]:
    """A frozen dataclass that refuses unknown keys when read from JSON."""
    made = dataclasses.dataclass(frozen=True)(cls)
    setattr(made, "__pydantic_config__", pydantic.ConfigDict(extra="forbid"))  # noqa: B010
    return made


def to_dict(config: Any) -> dict:
    """The settings as plain JSON values."""
    return pydantic.TypeAdapter(type(config)).dump_python(config, mode="json")


def from_dict(values: dict, kind: type[T]) -> T:
    """Builds and checks settings of type `kind` from JSON values.

    Raises a UserError for an unknown key, naming the nearest, and for a value of the wrong type.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_python(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from error
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "unexpected_keyword_argument":
            raise _unknown_key(where, kind) from error
        raise UserError(
            where, first.get("input"), first["msg"].lower(), "give a value of that type"
        ) from error


def load(path: str | Path, kind: type[T]) -> T:
    """Reads settings of type `kind` from a recipe (`.py` with `config()`) or a `config.json`.

    Raises a UserError if the file is missing, the recipe fails, or it makes settings of another type.
    """
    _require_config(path)
    if Path(path).suffix == ".json":
        return from_dict(read_json(path), kind)
    made = _run_recipe(path)
    if not isinstance(made, kind):
        raise UserError(
            "config",
            path,
            f"makes a {type(made).__name__}; this command needs a {kind.__name__}",
            "see tpu_configs/ for one",
        )
    return made


def override(config: T, settings: list[str]) -> T:
    """Applies `part.field=value` settings; values are JSON, or plain words. Raises a UserError for an unknown
    key, naming the nearest.
    """
    values = to_dict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError("--set", setting, "must be KEY=VALUE", "for example --set optim.peak_lr=3e-5")
        *parents, leaf = key.split(".")
        group = values
        for depth, parent in enumerate(parents):
            group = group.get(parent) if isinstance(group, dict) else None
            if not isinstance(group, dict):
                raise _unknown_key(".".join(parents[: depth + 1]), type(config))
        if leaf not in group:
            raise _unknown_key(key, type(config))
        group[leaf] = _parse_value(text)
    return from_dict(values, type(config))


def _run_recipe(path: str | Path) -> Any:
    """What the recipe's `config()` returns."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise UserError("config", path, "must be a .py recipe or a .json file", "see tpu_configs/")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(_import_root(path)))
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "config", None)):
            raise UserError("config", path, "has no function config()", "see tpu_configs/ for examples")
        return module.config()
    except UserError:
        raise
    except Exception as error:  # whatever the recipe's own code raises
        raise _broken_recipe(path, error) from error
    finally:
        sys.path.pop(0)


def _require_config(path: str | Path) -> None:
    """UserError if the file is missing; names the new path of a recipe that moved to a folder below."""
    moved = sorted(Path(path).parent.glob(f"*/{Path(path).name}"))
    if moved and not Path(path).exists():
        raise UserError("config", path, "moved to a folder below", f"use {moved[0]}")
    require_file(path, "config")


def _import_root(path: str | Path) -> Path:
    """Where the recipe's imports of its neighbours start, `from tpu_configs.local import ...`: above the
    outermost package that holds it.
    """
    folder = Path(path).resolve().parent
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder.parent


def _broken_recipe(path: str | Path, error: Exception) -> UserError:
    """Names the recipe's line, except for a syntax error, which names its own."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == Path(path).absolute()
    ]
    where = f" in line {lines[-1]}" if lines else ""
    return UserError(
        "config",
        path,
        f"fails{where} with {type(error).__name__}: {' '.join(str(error).split())}",
        "correct the recipe",
    )


def _parse_value(text: str) -> Any:
    try:
        return pydantic.TypeAdapter(Any).validate_json(text)
    except pydantic.ValidationError:
        return text


def _keys(kind: type, prefix: str = "") -> list[str]:
    keys = []
    for field in dataclasses.fields(kind):
        keys.append(prefix + field.name)
        if dataclasses.is_dataclass(field.type):
            keys += _keys(field.type, f"{prefix}{field.name}.")
    return keys


def _unknown_key(key: str, kind: type) -> UserError:
    keys = _keys(kind)
    near = difflib.get_close_matches(key, keys, 1, 0.3) or keys[:1]
    return UserError("config key", key, "is unknown", f"did you mean {near[0]}?")
