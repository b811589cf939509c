"""Writes the documents of a split of shards as JSON lines for other trainers: those that training draws from
it with the same seed, in the order in which it reads them.

    python -m data_prep export-jsonl --shards shards --tokenizer tokenizer --arrangement interleaved \
        --out documents.jsonl
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spirit_jax.config import DataConfig, Source
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import drop_partials, require_output_file, write_atomically
from spirit_jax.core.progress import track
from spirit_jax.core.settings import override, part
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.strings import find_tokens, render_document
from spirit_jax.training.data.epochs import EpochReader
from spirit_jax.training.data.reading import read_in_order
from spirit_jax.training.data.sources import OpenData, open_data

FORMS = {"ids": "input_ids", "text": "text"}  # of a document, and the key that other trainers read it by


@part
class ExportConfig:
    """What is exported, by the names of a recipe's settings."""

    data: DataConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--shards", type=Path, required=True, help="folder that data_prep shards wrote")
    parser.add_argument("--split", default="train")
    parser.add_argument("--tokenizer", type=Path, required=True, help="that the shards were made with")
    parser.add_argument("--codec", type=Path, help="codec folder; for texts that are to be mixed with speech")
    parser.add_argument(
        "--arrangement",
        choices=[way.value for way in Arrangement],
        default=Arrangement.INTERLEAVED.value,
        help="how records become documents",
    )
    parser.add_argument("--form", choices=list(FORMS), default="ids", help="token ids or token strings")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the records, each drawn again")
    parser.add_argument("--seed", type=int, default=0, help="that of the run")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="for example data.text_span_words=[2,6]"
    )
    parser.add_argument("--out", type=Path, required=True, help="a .jsonl file")


def run(args: argparse.Namespace) -> int:
    """Writes the file and prints how many documents and tokens it has."""
    if args.epochs < 1:
        raise UserError("--epochs", args.epochs, "counts passes", "give 1 or more")
    if args.out.suffix != ".jsonl":
        raise UserError("--out", args.out, "must end with .jsonl", f"for example {args.out}.jsonl")
    require_output_file(args.out, "--out")
    source = Source(str(args.shards), Arrangement(args.arrangement), split=args.split)
    codec = None if args.codec is None else str(args.codec)
    config = override(ExportConfig(DataConfig(str(args.tokenizer), (source,), codec)), args.set)
    data = open_data(config.data)
    written, tokens, left_out = export(data, args.seed, args.epochs, args.form, args.out)
    print(f"{args.out}: {written:,} documents, {tokens:,} tokens")
    if left_out:
        says = (
            "documents are left out: their texts spell tokens such as [Hu12], which strings cannot tell apart"
        )
        print(f"warning: {left_out:,} {says}; --form ids has them", file=sys.stderr)
    return 0


def export(data: OpenData, seed: int, epochs: int, form: str, out: Path) -> tuple[int, int, int]:
    """Writes the documents of the only source; returns how many, their tokens, and how many are left out."""
    written = tokens = left_out = 0
    drop_partials(out.absolute().parent, out.name)
    with write_atomically(out) as partial, open(partial, "w", encoding="utf-8") as file:
        for ids in draw_documents(data, seed, epochs):
            value = ids.tolist() if form == "ids" else _spell(ids, data)
            if value is None:
                left_out += 1
                continue
            file.write(json.dumps({FORMS[form]: value}, ensure_ascii=False) + "\n")
            written, tokens = written + 1, tokens + len(ids)
    return written, tokens, left_out


def draw_documents(data: OpenData, seed: int, epochs: int) -> Iterator[np.ndarray]:
    """The documents, int32 ids each, that training with this seed and one record stream reads in its first
    epochs.
    """
    (source,) = data.train
    reader = EpochReader(source, (seed, 0))
    count = epochs * reader.count
    for fetched in track(read_in_order(reader.fetch, range(count)), "documents", count, unit="records"):
        yield from reader.arrange(fetched)


def _spell(ids: np.ndarray, data: OpenData) -> str | None:
    """The string of a document; None if a text in it spells tokens of the vocabulary."""
    vocabulary, spelled = data.vocabulary, False

    def decode(text_ids: np.ndarray) -> str:
        nonlocal spelled
        text = data.tokenizer.decode(text_ids)
        spelled = spelled or (vocabulary.has_speech and bool(find_tokens(text, vocabulary.streams)))
        return text

    string = render_document(ids, vocabulary, decode)
    return None if spelled else string
