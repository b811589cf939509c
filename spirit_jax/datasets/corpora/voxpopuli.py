"""VoxPopuli with transcripts: `asr_train.tsv` and others, or `asr_LANGUAGE.tsv`, in a folder of one language
or in `transcribed_data/LANGUAGE`, and recordings `YEAR/ID.ogg` anywhere below the table.

Columns: `id_` or `id`; `raw_text`, or `normalized_text` where it is empty; and, where given, `speaker_id`,
`split` and `accent`. Other columns are ignored.
"""

import collections
import re
from collections.abc import Iterator
from pathlib import Path

from spirit_jax.datasets.corpora.given import Given, held_out_split
from spirit_jax.datasets.corpora.tables import columns_of, table_rows
from spirit_jax.datasets.corpus import BadRow
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, files_below

READ = {"id", "id_", "raw_text", "normalized_text", "speaker_id", "split"}
SPLITS = ("train", "dev", "test")
LANGUAGE = re.compile(r"[a-z]{2}(_accented)?")


def is_voxpopuli(folder: Path) -> bool:
    """Whether a folder has one of the tables."""
    return bool(_tables(folder))


def read_voxpopuli(folder: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The utterances of the tables. Where a folder has tables of splits, that of all splits is ignored."""
    tables = _tables(folder)
    split_folders = {path.parent for path in tables if _word(path) in SPLITS}
    for path in tables:
        if path.parent in split_folders and _word(path) not in SPLITS:
            ignored[path.name] += 1
            continue
        ignored.update(columns_of(path) - READ)
        language = next((name for name in (_word(path), path.parent.name) if LANGUAGE.fullmatch(name)), None)
        files = files_below(path.parent)
        sounds = {sound.stem: sound for sound in files if sound.suffix.lower() in AUDIO_SUFFIXES}
        for line, fields in table_rows(path):
            where = f"{path} line {line}"
            if isinstance(fields, BadRow):
                yield Given(fields, line, where)
            else:
                yield _translate(fields, sounds, language, path, line, where)


def _tables(folder: Path) -> list[Path]:
    found = [*folder.glob("asr_*.tsv"), *folder.glob("transcribed_data/*/asr_*.tsv")]
    return sorted(path for path in found if _fits(columns_of(path)))


def _fits(columns: set[str]) -> bool:
    return bool(columns & {"id", "id_"}) and bool(columns & {"raw_text", "normalized_text"})


def _word(path: Path) -> str:
    """What a table is of: a language or a split."""
    return path.stem.removeprefix("asr_")


def _translate(
    fields: dict[str, str], sounds: dict[str, Path], language: str | None, path: Path, line: int, where: str
) -> Given:
    id = fields.get("id_") or fields.get("id") or ""
    if id not in sounds:
        error = BadRow("missing", where, id, f"no recording below {path.parent}", "add it or drop the row")
        return Given(error, line, where, id)
    voice = fields.get("speaker_id", "")
    row = {
        "id": id,
        "audio": str(sounds[id].absolute()),
        "text": fields.get("raw_text", "").strip() or fields.get("normalized_text"),
        "voice": "" if voice == "None" else voice,
        "language": language,
        "split": held_out_split(fields.get("split") or _word(path)),
    }
    return Given(row, line, where)
