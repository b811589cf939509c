"""Paths. One on this machine is a `pathlib.Path`; `gs://BUCKET/NAME`, in Cloud Storage, is an `epath.Path`.

An object of a bucket is written whole or not at all and cannot be renamed or appended to. A folder of a
bucket is the common beginning of names: it exists while it has objects.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TypeAlias

from etils import epath

from spirit_jax.core.errors import UserError

SCHEME = "gs://"
# of gcsfs: other machines and tensorstore write too; a request that gets no answer fails after 60 s
CLIENT = {"use_listings_cache": False, "requests_timeout": 60}
AnyPath: TypeAlias = Path | epath.Path


def to_path(path: str | AnyPath) -> AnyPath:
    """The path, in a bucket where it begins with gs://.

    UserError for a bucket where the package gcsfs is missing, for another scheme, and for a path in a bucket
    that was taken for a local one.
    """
    text = str(path)
    if text.startswith(SCHEME):
        return _in_bucket(text)
    if "://" in text or text.startswith("gs:/"):
        raise UserError("path", text, "is neither local nor in a bucket", "write gs://BUCKET/NAME")
    return Path(path)


def in_bucket(path: str | AnyPath) -> bool:
    """Whether the path is in a bucket."""
    return str(path).startswith(SCHEME)


def resolved(path: str | AnyPath) -> AnyPath:
    """The absolute path, without links; one in a bucket is that already."""
    path = to_path(path)
    return path.resolve() if isinstance(path, Path) else path


def require_local(path: str | AnyPath, what: str) -> Path:
    """The path. UserError for one in a bucket."""
    if str(path).startswith(("gs:/", SCHEME)):
        fix = "copy it there: gcloud storage cp --recursive"
        raise UserError(what, path, "must be on this machine, not in a bucket", fix)
    return Path(path)


def storage_errors() -> tuple[type[Exception], ...]:
    """What a failing disk or a failing bucket raises: the errors of gcsfs and of Google's clients."""
    if "gcsfs" not in sys.modules:  # no bucket was used
        return (OSError,)
    from aiohttp import ClientError
    from gcsfs.retry import HttpError
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return OSError, HttpError, ClientError, GoogleAPIError, GoogleAuthError


def _in_bucket(text: str) -> epath.Path:
    if text.removeprefix(SCHEME)[:1] in ("", "/"):
        raise UserError("path", text, "names no bucket", "write gs://BUCKET/NAME")
    if importlib.util.find_spec("gcsfs") is None:
        rule = "a bucket needs the package gcsfs to be read and written"
        raise UserError("path", text, rule, "pip install -r requirements-gcs.txt")
    from fsspec.config import conf

    conf.setdefault("gcs", {}).update(CLIENT)
    return epath.Path(text)
