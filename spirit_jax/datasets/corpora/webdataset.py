"""WebDataset tars: a recording, and a `.json` or `.txt` of the same key.

The key is a member's path up to the first dot of its name. A `.json` has the keys of a manifest, or of NeMo;
its `text` has precedence over the `.txt`. Archives are read in place, not unpacked: a row's audio is
`ARCHIVE.tar::MEMBER`. Compressed archives are refused, since no member could be found in them.
"""

import collections
import itertools
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.stored_files import INSIDE
from spirit_jax.datasets.corpora.given import Given, missing_partner
from spirit_jax.datasets.corpora.nemo import RENAMED
from spirit_jax.datasets.corpora.tables import not_utf8
from spirit_jax.datasets.corpus import BadRow
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES

TEXTS = (".json", ".txt")


def is_webdataset(folder: Path) -> bool:
    """Whether a folder has tars, and nothing else that could be read."""
    names = [path for path in folder.iterdir() if path.is_file()]
    return any(path.suffix == ".tar" for path in names) and not any(
        path.suffix.lower() in AUDIO_SUFFIXES or ".jsonl" in path.name for path in names
    )


def read_webdataset(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The keys of an archive, or of all those of a folder. One key has one id: `ARCHIVE/KEY`."""
    for archive in sorted(path.glob("*.tar")) if path.is_dir() else [path]:
        try:
            with tarfile.open(archive, "r:") as tar:
                members = (info for info in _forget(tar) if info.isfile())
                for key, group in itertools.groupby(members, lambda info: _split(info.name)[0]):
                    yield _give(tar, archive, key, list(group), ignored)
        except (tarfile.TarError, OSError) as error:
            rule = f"is no plain tar, or is cut ({error})"
            raise UserError("archive", archive, rule, "copy it again; decompress .tar.gz") from error


def _forget(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Members in order; tarfile would keep all of them."""
    while (info := tar.next()) is not None:
        yield info
        tar.members = []  # type: ignore[attr-defined]


def _split(name: str) -> tuple[str, str]:
    """A member's key, and its suffixes in lower case."""
    folder, _, last = name.rpartition("/")
    bare, _, suffix = last.partition(".")
    return (f"{folder}/{bare}" if folder else bare), f".{suffix.lower()}"


def _give(
    tar: tarfile.TarFile,
    archive: Path,
    key: str,
    group: list[tarfile.TarInfo],
    ignored: collections.Counter[str],
) -> Given:
    where, id = f"{archive} key {key}", f"{archive.stem}/{key}"
    by_suffix = {_split(info.name)[1]: info for info in group}
    ignored.update(suffix for suffix in by_suffix if suffix not in (*AUDIO_SUFFIXES, *TEXTS))
    sounds = [info for suffix, info in by_suffix.items() if suffix in AUDIO_SUFFIXES]
    if len(sounds) != 1:
        return Given(missing_partner(where, len(sounds), "recordings; a key has one"), None, where, id)
    audio = f"{archive.absolute().with_suffix('')}{INSIDE}{sounds[0].name}"
    said: dict[str, Any] = {}
    for suffix, read in ((".txt", _read_text), (".json", _read_json)):
        if suffix in by_suffix:
            found = read(tar, by_suffix[suffix], where)
            if isinstance(found, BadRow):
                return Given(found, None, where, id, audio)
            said |= found
    return Given({"id": id, **said, "audio": audio}, None, where, id)


def _read_text(tar: tarfile.TarFile, info: tarfile.TarInfo, where: str) -> dict | BadRow:
    try:
        return {"text": _bytes_of(tar, info).decode("utf-8-sig").strip()}
    except UnicodeDecodeError as error:
        return not_utf8(error, where)


def _read_json(tar: tarfile.TarFile, info: tarfile.TarInfo, where: str) -> dict | BadRow:
    try:
        row = json.loads(_bytes_of(tar, info).decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        return BadRow("bad_json", where, info.name, f"must be JSON in UTF-8 ({error})", "correct it")
    if not isinstance(row, dict):
        return BadRow("bad_json", where, info.name, "must be a JSON object", "correct it")
    return {RENAMED.get(key, key): value for key, value in row.items() if value is not None}


def _bytes_of(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return file.read() if file else b""
