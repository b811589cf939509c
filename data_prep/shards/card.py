"""The card of a folder of shards: `card.json` for programs, `README.md` with the same facts for people."""

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import spirit_jax
from data_prep.shards.counts import KINDS, UNKNOWN, Counts, total
from spirit_jax.core.files import write_json, write_text
from spirit_jax.datasets.shards import DATASET, Metadata, ShardSplit, split_sizes

CARD, PAGE = "card.json", "README.md"
PACKAGES = ("tensorflow-datasets", "array_record", "sentencepiece", "tokenizers", "numpy")


def write_card(
    version: Path, metadata: Metadata, counts: Mapping[str, Counts], leaked: int, command: str
) -> dict[str, Any]:
    """Writes both files into a finished version folder; returns the facts.

    leaked: rows for training whose sentence is also held out. command: that made the shards.
    """
    facts = {
        "name": DATASET,
        "layout": metadata.layout.value,
        "splits": {
            name: {
                "stored_rows": size,
                "fingerprint": ShardSplit(version, metadata, name).fingerprint,
                **counts[name].to_dict(),
            }
            for name, size in split_sizes(version).items()
        },
        "total": total(counts.values(), metadata.vocabulary).to_dict(),
        "ids_that_occur": total(counts.values(), metadata.vocabulary).coverage(),
        "rows_that_leak": leaked,
        "streams": [stream.to_dict() for stream in metadata.vocabulary.streams],
        "tokenizer_fingerprint": metadata.tokenizer_fingerprint,
        "encoder_fingerprint": metadata.encoder_fingerprint,
        "made_with": {"command": command, "versions": _versions()},
    }
    if metadata.finished is not None:
        facts["finished"] = metadata.finished
    write_json(version / CARD, facts)
    write_text(version / PAGE, render_card(facts))
    return facts


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"spirit_jax": spirit_jax.__version__, "python": platform.python_version(), **packages}


def render_card(facts: Mapping[str, Any]) -> str:
    """The page: a header as Hugging Face's dataset cards have, and tables."""
    whole, splits = facts["total"], facts["splits"]
    languages = [name for name in whole["shares"]["language"] if name != UNKNOWN]
    header = {"pretty_name": facts["name"], **({"language": languages} if languages else {})}
    streams = list(whole["tokens"])
    counted = ["stored_rows", "rows", "spoken", "aligned", "hours", "speakers", "speech_tokens_per_second"]
    tables = [
        "## Splits",
        _table(
            ["split", *(name.replace("_", " ") for name in counted), *(f"{name} tokens" for name in streams)],
            [
                [name, *(split[key] for key in counted), *split["tokens"].values()]
                for name, split in splits.items()
            ],
        ),
        "`rows` are utterances and texts, `spoken` those with speech, `aligned` those with word times.",
    ]
    for kind in KINDS:
        rows = [[name, share["rows"], share["hours"]] for name, share in whole["shares"][kind].items()]
        tables += [f"## By {kind}", _table([kind, "rows", "hours"], rows)]
    occur = [[name, found, size] for name, (found, size) in facts["ids_that_occur"].items()]
    streams_table = [[s["name"], s["size"], s["rate"], s["deduplicate"]] for s in facts["streams"]]
    tables += ["## Vocabulary", _table(["part", "ids that occur", "ids"], occur)]
    if streams_table:
        tables.append(_table(["stream", "codes", "codes a second", "deduplicated"], streams_table))
    prints = [[f"split {name}", split["fingerprint"]] for name, split in splits.items()]
    prints += [[name, facts[f"{name}_fingerprint"] or "none"] for name in ("tokenizer", "encoder")]
    leaked = facts["rows_that_leak"]
    tables += [
        "## Fingerprints",
        _table(["of", "fingerprint"], prints),
        "## Sentences in two splits",
        f"{leaked:,} rows for training have a sentence that is also held out.",
        "## How it was made",
        f"```\n{facts['made_with']['command']}\n```",
        _table(["package", "version"], facts["made_with"]["versions"].items()),
    ]
    title = f"# {facts['name']}, {facts['layout']}"
    return "\n\n".join([f"---\n{yaml.safe_dump(header)}---", title, *tables]) + "\n"


def _table(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [[*names], ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return str(value).replace("|", "\\|").replace("\n", " ")
