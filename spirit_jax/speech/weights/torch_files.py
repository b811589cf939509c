"""Reads published weight files, PyTorch pickles and Hugging Face folders, as named numpy arrays. Each array
is accounted for.

PyTorch (requirements-parity.txt) is imported only to read a pickle; safetensors do not need it.
"""

import pickle
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_file, require_folder, require_torch

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
SAVE_WEIGHTS = "do not open it otherwise: such a file can run any code; save its state dict alone"
# what torch.load raises for damaged files
UNREADABLE = (RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError)


class Tensors:
    """Named arrays of which each must be taken or ignored by name. UserError for a missing, unknown or
    misshapen one.
    """

    def __init__(self, where: str | Path, arrays: Mapping[str, np.ndarray]):
        self.where, self.arrays, self.left, self.ignored = str(where), dict(arrays), set(arrays), set[str]()

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The float32 array of that name and shape."""
        if name not in self.arrays:
            raise UserError(
                f"{self.where} weight {name}",
                "absent",
                f"is needed, with shape {shape}",
                "use a complete checkpoint",
            )
        array = self.arrays[name]
        if not isinstance(array, np.ndarray):
            raise UserError(
                f"{self.where} weight {name}",
                type(array).__name__,
                "must be an array",
                "use a checkpoint of the published kind",
            )
        if array.shape != shape:
            raise UserError(
                f"{self.where} weight {name}",
                array.shape,
                f"must have shape {shape} by its configuration",
                "use the matching pair",
            )
        if not np.isfinite(array).all():
            raise UserError(
                f"{self.where} weight {name}",
                np.count_nonzero(~np.isfinite(array)),
                "numbers are NaN or infinite",
                "fetch it again",
            )
        self.left.discard(name)
        return np.asarray(array, np.float32)

    def ignore(self, *names: str) -> None:
        """Marks arrays as not needed, by exact names or by prefixes that end in a dot."""
        self.ignored |= {
            name
            for name in self.left
            if any(name == n or n.endswith(".") and name.startswith(n) for n in names)
        }
        self.left -= self.ignored

    def finish(self) -> None:
        """Lists the ignored arrays on stderr. Raises a UserError if one was neither taken
        nor ignored.
        """
        if self.left:
            rule = "is neither used nor named as ignored, so this is another architecture"
            raise UserError(
                f"{self.where} weight",
                ", ".join(sorted(self.left)[:3]),
                rule,
                "use a checkpoint of the published kind",
            )
        if self.ignored:
            print(
                f"{self.where}: not needed here and ignored: {', '.join(sorted(self.ignored))}",
                file=sys.stderr,
            )


class Unread:
    """Stands for an object of a class whose code is not loaded. It has the object's attributes."""

    def __init__(self, *_: Any, **__: Any):
        pass


def read_pickle(
    path: str | Path,
    numpy_arrays: bool = False,
    without_code: Sequence[str] = (),
    fix: str = SAVE_WEIGHTS,
) -> Any:
    """The content of a torch file (.pt, .bin, .pth), its tensors as numpy arrays (bfloat16 and float16 as
    float32).

    Read with `weights_only=True`. UserError, which ends with `fix`, for a pickle that holds more than tensors
    and plain containers (and, with `numpy_arrays`, arrays). Objects of the classes `without_code`, dotted
    names, become `Unread`: neither their module nor their code is loaded.
    """
    require_file(path, "weight file")
    torch = require_torch(path)
    try:
        allowed = [(Unread, name) for name in without_code] + (_numpy_names() if numpy_arrays else [])
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
            warnings.simplefilter(
                "ignore"
            )  # about unusual files, which are either read completely or are errors
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        rule = f"must hold only tensors and plain containers ({_asked_for(str(error))})"
        raise UserError("weight file", path, rule, fix) from error
    except UNREADABLE as error:
        raise UserError(
            "weight file",
            path,
            f"is no whole torch file: {_first_line(error)}",
            "fetch it again, or save its state dict",
        ) from error
    return _to_numpy(content, torch)


def read_folder(folder: str | Path) -> tuple[dict, dict[str, np.ndarray]]:
    """`config.json` and the weights of a Hugging Face folder: safetensors if present, else .bin; one file, or
    shards with an index.
    """
    config = read_json(require_folder(folder, "model folder") / "config.json")
    for name in (SAFETENSORS, PICKLE):
        files = _files(Path(folder), name)
        if files:
            arrays = {}
            for file in files:
                content = _read_safetensors(file) if name == SAFETENSORS else read_pickle(file)
                require_keys(content, file)
                arrays |= content
            return config, arrays
    raise UserError(
        "model folder",
        folder,
        f"has neither {SAFETENSORS} nor {PICKLE} (nor an index of shards)",
        "check the path",
    )


def require_keys(content: Any, path: str | Path, keys: Iterable[str] = ()) -> None:
    """Raises a UserError if a file's content is not a dictionary with these keys, or has keys that are not
    strings.
    """
    missing = [key for key in keys if not isinstance(content, Mapping) or key not in content]
    if missing or not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        found = (
            ", ".join(sorted(map(str, content))[:5])
            if isinstance(content, Mapping)
            else type(content).__name__
        )
        raise UserError(
            f"weight file {path}",
            found,
            f"must be a dictionary with {', '.join(missing) or 'weights'}",
            "pass the published file",
        )


def _files(folder: Path, name: str) -> list[Path]:
    if (folder / name).is_file():
        return [folder / name]
    index = folder / f"{name}.index.json"
    if not index.is_file():
        return []
    require_keys(content := read_json(index), index, ["weight_map"])
    require_keys(content["weight_map"], index)
    return [folder / file for file in sorted({str(file) for file in content["weight_map"].values()})]


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        # as JAX arrays, since numpy has no bfloat16
        with safe_open(require_file(path, "weight file"), framework="flax") as file:
            return {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except SafetensorError as error:
        raise UserError(
            "weight file", path, f"is no whole safetensors file ({error})", "fetch it again"
        ) from error


def _numpy_names() -> list[Any]:
    """What rebuilds plain numeric arrays, by the names that numpy 1 and 2 give the functions."""
    from numpy._core import multiarray

    kinds = [type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64")]
    names = [
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for core in ("core", "_core")
    ]
    return [np.ndarray, np.dtype, *kinds, *names]


def _asked_for(message: str) -> str:
    """What the pickle asked for, from PyTorch's long message."""
    asked = [line.partition("GLOBAL ")[2].split()[0] for line in message.splitlines() if "GLOBAL " in line]
    return f"it asks for {asked[0]}" if asked else "it is a pickle of another kind"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(" In PyTorch 2.6")[0]


def _to_numpy(value: Any, torch) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (
            value.float() if value.is_floating_point() and value.dtype != torch.float64 else value
        ).numpy()
    if isinstance(value, Mapping):
        return {key: _to_numpy(item, torch) for key, item in value.items()}
    return type(value)(_to_numpy(item, torch) for item in value) if type(value) in (list, tuple) else value
