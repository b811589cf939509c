"""Hours, utterances and tokens of each split of a folder of shards, and how much of the vocabulary occurs.

python -m data_prep stats --shards shards
"""

import argparse
from pathlib import Path

import numpy as np

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
from spirit_jax.tokens.vocabulary import Vocabulary, merge


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
    counts = "".join(f"{name:>9}" for name in ("rows", "spoken", "aligned", "hours"))
    print(f"{'split':<16}{counts}" + "".join(f"{name:>12}" for name in columns) + f"{'speech/s':>10}")
    seen_V = np.zeros(metadata.vocabulary.size, bool)
    for name in split_sizes(version):
        row = summarize(open_shards(version, split=name), seen_V)
        counts = "".join(f"{row[key]:>9}" for key in ("rows", "spoken", "aligned")) + f"{row['hours']:>9.3f}"
        tokens = "".join(f"{count:>12}" for count in row["tokens"])
        print(f"{name:<16}{counts}{tokens}{row['tokens_per_second']:>10.2f}")
    print("vocabulary that occurs: " + ", ".join(coverage(metadata.vocabulary, seen_V)))
    return 0


def summarize(split: ShardSplit, seen_V: np.ndarray) -> dict:
    """Counts of a split. Sets seen_V, bool [vocabulary size], for the ids that occur.

    tokens: of text, then of each stream, deduplicated as a model reads them.
    """
    vocabulary, seconds, spoken, aligned = split.metadata.vocabulary, 0.0, 0, 0
    streams = vocabulary.streams
    tokens = np.zeros(1 + len(streams), np.int64)
    for record in split:
        assert isinstance(record, Record)
        aligned += record.aligned
        tokens[0] += len(record.text_ids)
        seen_V[record.text_ids] = True
        if record.speech is None:
            continue
        spoken, seconds = spoken + 1, seconds + len(record.speech.units) / streams[0].rate
        stream_N, code_N, _ = merge(record.speech, streams)
        tokens[1:] += np.bincount(stream_N, minlength=len(streams))
        seen_V[vocabulary.encode_stream(stream_N, code_N)] = True
    rate = int(tokens[1:].sum()) / seconds if seconds else 0.0
    counts = {"rows": len(split), "spoken": spoken, "aligned": aligned}
    return {**counts, "hours": seconds / 3600, "tokens": tokens.tolist(), "tokens_per_second": rate}


def coverage(vocabulary: Vocabulary, seen_V: np.ndarray) -> list[str]:
    """`n of m` for text pieces and for each stream of the vocabulary."""
    starts = {"text": (0, vocabulary.text_size)}
    starts |= {s.name: (int(first), s.size) for s, first in zip(vocabulary.streams, vocabulary.starts)}
    return [f"{int(seen_V[first:][:n].sum())} of {n} {name}" for name, (first, n) in starts.items()]
