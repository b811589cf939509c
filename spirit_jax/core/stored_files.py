"""Opens files where they are stored: plain, compressed, inside a tar, or in an object store.

An address is a path, a URL that fsspec knows, such as `s3://bucket/key`, or `ARCHIVE.tar::MEMBER`. Suffixes
.gz and .zst are decompressed while they are read. `Path` drops a slash of a URL; both spellings are accepted.
Addresses are for reading only; what is written is a path (`spirit_jax.core.paths`).
"""

import contextlib
import functools
import gzip
import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.core.paths import AnyPath, in_bucket, to_path

URL = re.compile(r"^([a-z][a-z0-9+]+):/+(?=[^/])")
INSIDE = ".tar::"  # between an archive and its member
COMPRESSED = (".gz", ".zst")


def url_of(address: str | AnyPath) -> str | None:
    """The URL of a file in an object store; None for a path of this machine."""
    match = URL.match(str(address))
    return f"{match[1]}://{str(address)[match.end() :]}" if match else None


def bare_name(address: str | AnyPath) -> str:
    """The last part of an address without the suffixes of format and compression: `a` of `b/a.jsonl.gz`."""
    path = Path(address)
    return Path(path.stem).stem if path.suffix.lower() in COMPRESSED else path.stem


def format_suffix(address: str | AnyPath) -> str:
    """The suffix in lower case, without that of the compression: `.jsonl` of `a.jsonl.gz`."""
    path = Path(address)
    return Path(path.stem if path.suffix.lower() in COMPRESSED else path.name).suffix.lower()


def join(folder: str | AnyPath, address: str) -> str:
    """An address that is given relative to a folder: absolute, or a URL."""
    if url_of(address) or os.path.isabs(address):
        return url_of(address) or address
    url = url_of(folder)
    return f"{url.rstrip('/')}/{address}" if url else str(Path(folder).absolute() / address)


def leads_out(address: str) -> bool:
    """Whether a relative path leads out of the folder that it begins in. An absolute one and a URL do not."""
    return not url_of(address) and os.path.normpath(address).split(os.sep)[0] == os.pardir


def open_stored(address: str | AnyPath, what: str = "file") -> IO[bytes]:
    """The bytes of a file, decompressed. UserError if it cannot be opened. what: names it in the error."""
    raw = _open_raw(address, what)
    suffix = Path(address).suffix.lower()
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(raw, "zstd"))  # type: ignore[arg-type]
    return raw


def stream_lines(address: str | AnyPath, what: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers. UserError if it cannot be opened, or is damaged."""
    number = 0
    with open_stored(address, what) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line
        except (OSError, EOFError) as error:  # both are what decompressors raise
            rule = f"is damaged after line {number} ({error})"
            raise UserError(what, address, rule, "copy or compress it again") from error


@contextlib.contextmanager
def local_copy(address: str | AnyPath) -> Iterator[Path]:
    """A path where the file can be read: itself, or a temporary copy of a member or of a remote file.

    FileNotFoundError for a member that its archive does not have.
    """
    archive, inside, member = str(address).partition(INSIDE)
    if not inside and not url_of(address):
        yield Path(address)
        return
    with tempfile.NamedTemporaryFile(suffix=Path(address).suffix) as copy:
        if inside:
            with open(f"{archive}.tar", "rb") as file:
                _copy_member(file, f"{archive}.tar", member, copy)
        else:
            with _open_raw(address, "file") as file:
                shutil.copyfileobj(file, copy)
        copy.flush()
        yield Path(copy.name)


def stamp_of(address: str | AnyPath) -> list[int] | None:
    """Size and time of change in ns of a file of this machine, for a member of its archive; else None."""
    archive, inside, _ = str(address).partition(INSIDE)
    path = f"{archive}.tar" if inside else str(address)
    if not os.path.isfile(path):
        return None
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]


def is_stored(address: str | AnyPath) -> bool:
    """Whether there is a file of this machine, for a member its archive. Remote files are not looked up."""
    return url_of(address) is not None or stamp_of(address) is not None


class Member(NamedTuple):
    """Where the bytes of a file begin in its archive, and how many they are."""

    begin: int
    size: int


def _copy_member(file: IO[bytes], archive: str, member: str, copy: Any) -> None:
    stat = os.stat(archive)
    place = _members(archive, stat.st_size, stat.st_mtime_ns).get(member)
    if place is None:
        raise FileNotFoundError(f"{archive} has no member {member}")
    file.seek(place.begin)
    copy.write(file.read(place.size))


@functools.lru_cache(maxsize=16)  # members of one archive are read one after another
def _members(archive: str, size: int, changed_ns: int) -> dict[str, Member]:
    with tarfile.open(archive, "r:") as tar:
        return {info.name: Member(info.offset_data, info.size) for info in tar if info.isfile()}


def _open_raw(address: str | AnyPath, what: str) -> IO[bytes]:
    url = url_of(address)
    if url is None or in_bucket(url):
        path = to_path(url or address)
        if not path.is_file():
            raise UserError(what, address, "no such file", "check the path")
        return path.open("rb")
    import fsspec

    try:
        return fsspec.open(url, "rb").open()  # type: ignore[union-attr]
    except FileNotFoundError as error:
        raise UserError(what, url, "no such file", "check the address") from error
    except (ImportError, ValueError) as error:  # a store without its package; an unknown scheme
        raise UserError(what, url, f"cannot be opened ({error})", "install the store's package") from error
    except OSError as error:
        raise UserError(what, url, f"cannot be opened ({error})", "check address and rights") from error
