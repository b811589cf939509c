"""Which layout a corpus has: by the files of a folder, or by the suffix and the first rows of a file."""

import collections
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import parse_lines
from spirit_jax.core.stored_files import format_suffix
from spirit_jax.datasets.corpora import lhotse
from spirit_jax.datasets.corpora.common_voice import is_common_voice, read_common_voice
from spirit_jax.datasets.corpora.expresso import is_expresso, read_expresso
from spirit_jax.datasets.corpora.given import Given, Read
from spirit_jax.datasets.corpora.kaldi import is_kaldi, read_kaldi
from spirit_jax.datasets.corpora.nemo import is_nemo, read_nemo
from spirit_jax.datasets.corpora.parquet import is_parquet, read_parquet
from spirit_jax.datasets.corpora.vctk import is_vctk, read_vctk
from spirit_jax.datasets.corpora.voxpopuli import is_voxpopuli, read_voxpopuli
from spirit_jax.datasets.corpora.webdataset import is_webdataset, read_webdataset
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, files_below
from spirit_jax.datasets.text_files import read_texts

FOLDERS = (
    ("Kaldi folder", is_kaldi, read_kaldi),
    ("Common Voice", is_common_voice, read_common_voice),
    ("VoxPopuli", is_voxpopuli, read_voxpopuli),
    ("Expresso", is_expresso, read_expresso),
    ("VCTK", is_vctk, read_vctk),
    ("WebDataset", is_webdataset, read_webdataset),
    ("parquet", is_parquet, read_parquet),
)
JSON_LINES = (
    ("NeMo manifest", is_nemo, read_nemo),
    ("Lhotse cuts", lhotse.is_cuts, lhotse.read_cuts),
    ("Lhotse recordings and supervisions", lhotse.is_half, lhotse.read_pair),
)
FILES = {".tar": ("WebDataset", read_webdataset), ".parquet": ("parquet", read_parquet)}
MANIFESTS = ("*.jsonl", "*.jsonl.gz", "*.jsonl.zst")
TRIED = 20  # lines of a manifest in which the first object must be


class Layout(NamedTuple):
    """name: for people. path: the manifest or the folder that is read."""

    name: str
    path: Path
    read: Read


def recognise(path: Path, lines: bool = False) -> Layout | None:
    """The layout of a file or a folder; None for a folder of recordings.

    lines: each line of a `.txt` file is a text. UserError for a recording, and for a folder with several
    manifests and no recordings.
    """
    if path.is_dir():
        return _recognise_folder(path)
    suffix = format_suffix(path)
    if suffix in AUDIO_SUFFIXES:
        raise UserError("manifest", path, "is a recording", "give its folder, or a manifest that names it")
    if suffix == ".txt":
        return Layout("texts", path, functools.partial(_read_texts, lines=lines))
    if suffix in FILES:
        return Layout(FILES[suffix][0], path, FILES[suffix][1])
    return _recognise_json_lines(path)


def _recognise_folder(folder: Path) -> Layout | None:
    """`manifest.jsonl`, else a layout of folders, else the only .jsonl file or the only pair of Lhotse's."""
    for name in (pattern.replace("*", "manifest") for pattern in MANIFESTS):
        if (folder / name).is_file():
            return _recognise_json_lines(folder / name)
    for name, fits, read in FOLDERS:
        if fits(folder):
            return Layout(name, folder, read)
    found = sorted(path for pattern in MANIFESTS for path in folder.glob(pattern))
    found = [pair] if (pair := lhotse.find_pair(found)) else found
    if len(found) == 1:
        return _recognise_json_lines(found[0])
    if found and not any(path.suffix.lower() in AUDIO_SUFFIXES for path in files_below(folder)):
        rule = f"{folder} has several .jsonl files and no recordings"
        raise UserError("manifests", len(found), rule, "name the manifest")
    return None


def _recognise_json_lines(path: Path) -> Layout:
    """By the first row that is an object."""
    rows = (row for _, row in itertools.islice(parse_lines(path), TRIED))
    first = next((row for row in rows if not isinstance(row, UserError)), {})
    for name, fits, read in JSON_LINES:
        if fits(first):
            return Layout(name, path, read)
    return Layout("manifest", path, _read_manifest)


def _read_manifest(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    for line, row in parse_lines(path):
        yield Given(row, line, f"{path} line {line}")


def _read_texts(path: Path, ignored: collections.Counter[str], lines: bool) -> Iterator[Given]:
    for line, row in read_texts(path, lines):
        yield Given(row, line, f"{path} line {line}")
