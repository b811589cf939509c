"""Units folders and shards of rows made in memory."""

from pathlib import Path

from data_prep.shards.contents import Contents
from data_prep.shards.token_shards import write_shards
from spirit_jax.core.files import write_json, write_jsonl
from spirit_jax.datasets.shards import Metadata
from spirit_jax.datasets.units_folder import UnitsFolder, open_units
from spirit_jax.tokens.streams import Streams


def write_units(folder: Path, rows: list[dict], streams: Streams, fingerprint: str) -> UnitsFolder:
    """A units folder of these rows, as `data_prep units` writes it."""
    write_jsonl(folder / "units-0.jsonl", rows)
    table = [stream.to_dict() for stream in streams]
    about = {"encoder_fingerprint": fingerprint, "shards": ["units-0.jsonl"], "streams": table}
    write_json(folder / "summary.json", about)
    return open_units(folder)


def write_rows(rows: list[dict], out: Path, tokenizer, metadata: Metadata) -> None:
    """Shards of rows of units and of texts."""
    streams, made_with = metadata.vocabulary.streams, str(metadata.encoder_fingerprint)
    units = write_units(out.with_name(f"{out.name}-units"), rows, streams, made_with)
    write_shards(Contents(metadata, tokenizer, units), out)
