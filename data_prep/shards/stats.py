"""Hours, utterances and tokens of each split of a folder of shards, and how much of the vocabulary occurs.

python -m data_prep stats --shards shards
"""

import argparse
from pathlib import Path

from data_prep.shards.counts import Counts, total
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.shards import (
    Layout,
    ShardSplit,
    find_version,
    open_shards,
    read_metadata,
    split_sizes,
)
from spirit_jax.tokens.interleave import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--shards", type=Path, required=True, help="folder that data_prep shards wrote")


def run(args: argparse.Namespace) -> int:
    """Prints a line for each split and one on coverage."""
    version = find_version(args.shards)
    metadata = read_metadata(version)
    if metadata.layout is not Layout.ALIGNED:
        rule = "must have the aligned config: the other has no utterances"
        raise UserError("--shards", version, rule, "write it with --config aligned")
    encoder = metadata.encoder_fingerprint or "none"
    texts = "texts whole" if metadata.whole_text else "texts word by word, without their layout"
    print(f"{version}: tokenizer {metadata.tokenizer_fingerprint}, encoder {encoder}, {texts}")
    columns = ["text", *(stream.name for stream in metadata.vocabulary.streams)]
    names = "".join(f"{name:>9}" for name in ("rows", "spoken", "aligned", "hours"))
    print(f"{'split':<16}{names}" + "".join(f"{name:>12}" for name in columns) + f"{'speech/s':>10}")
    counted = {name: count_split(open_shards(version, split=name)) for name in split_sizes(version)}
    for name, counts in counted.items():
        row = counts.to_dict()
        numbers = "".join(f"{row[key]:>9}" for key in ("rows", "spoken", "aligned")) + f"{row['hours']:>9.3f}"
        tokens = "".join(f"{count:>12}" for count in row["tokens"].values())
        print(f"{name:<16}{numbers}{tokens}{counts.tokens_per_second:>10.2f}")
    found = total(counted.values(), metadata.vocabulary).coverage()
    print(
        "vocabulary that occurs: " + ", ".join(f"{n} of {size} {name}" for name, (n, size) in found.items())
    )
    return 0


def count_split(split: ShardSplit) -> Counts:
    """The counts of a split's records. Shards do not store licence and language."""
    counts = Counts(split.metadata.vocabulary)
    for record in split:
        assert isinstance(record, Record)
        counts.add(record, {"source": record.source})
    return counts
