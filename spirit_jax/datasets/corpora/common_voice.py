"""Common Voice, a language: `clips/`, and tables with the columns `client_id`, `path` and `sentence`.

train.tsv, dev.tsv and test.tsv are splits. Clips that only validated.tsv or other.tsv names have the splits
`validated` and `other`, since their speakers may be those of the test. All other tables, such as
invalidated.tsv, are ignored.
"""

import collections
from collections.abc import Iterator
from pathlib import Path

from spirit_jax.datasets.corpora.given import Given
from spirit_jax.datasets.corpora.tables import columns_of, table_rows
from spirit_jax.datasets.corpus import BadRow

COLUMNS = {"client_id", "path", "sentence"}
TABLES = ("test", "dev", "train", "validated", "other")  # the first that names a clip has it


def is_common_voice(folder: Path) -> bool:
    """Whether a folder has clips and one of the tables."""
    tables = (folder / f"{name}.tsv" for name in TABLES)
    return (folder / "clips").is_dir() and any(columns_of(table) >= COLUMNS for table in tables)


def read_common_voice(folder: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The clips of the tables, each clip once. A clip that one table names twice is given twice."""
    ignored.update(path.name for path in folder.glob("*.tsv") if path.stem not in TABLES)
    taken: set[str] = set()
    for name in TABLES:
        path = folder / f"{name}.tsv"
        if not columns_of(path) >= COLUMNS:
            ignored.update([path.name] if path.is_file() else [])
            continue
        named = set()
        for line, fields in table_rows(path):
            where = f"{path} line {line}"
            if isinstance(fields, BadRow):
                yield Given(fields, line, where)
            elif fields["path"] not in taken:
                named.add(fields["path"])
                yield Given(_translate(fields, name), line, where)
        taken |= named


def _translate(fields: dict[str, str], split: str) -> dict:
    clip = fields["path"] if Path(fields["path"]).suffix else f"{fields['path']}.mp3"
    return {
        "audio": f"clips/{clip}" if fields["path"] else None,
        "text": fields["sentence"],
        "voice": fields["client_id"],
        "language": fields.get("locale"),
        "split": None if split == "train" else split,
    }
