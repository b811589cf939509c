"""What a folder of shards holds: hours, utterances, tokens by kind, and how much of the vocabulary occurs,
for each split.

python -m data_prep stats --shards shards
"""

import argparse
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.shards import Layout, ShardSplit, find_version, open_shards, read_metadata, splits
from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.vocabulary import MARKS, Vocabulary, merge

KINDS = ("text", "style", "pitch", "units")  # text, then the order of Kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--shards", type=Path, required=True, help="folder that data_prep shards wrote")


def run(args: argparse.Namespace) -> int:
    """Prints a line a split and one on coverage."""
    version = find_version(args.shards)
    metadata = read_metadata(version)
    if metadata.layout is not Layout.ALIGNED:
        raise UserError(
            "--shards",
            version,
            "must hold the aligned config: the other has no utterances",
            "write it with --config aligned",
        )
    print(
        f"{version}: tokenizer {metadata.tokenizer_fingerprint}, encoder "
        f"{metadata.encoder_fingerprint or 'none'}"
    )
    print(
        f"{'split':<16}{'rows':>9}{'spoken':>9}{'aligned':>9}{'hours':>9}"
        + "".join(f"{name:>12}" for name in KINDS)
        + f"{'speech/s':>10}"
    )
    seen_V = np.zeros(metadata.vocabulary.size, bool)
    for name in splits(version):
        row = summarize(open_shards(version, split=name), seen_V)
        tokens = "".join(f"{count:>12}" for count in row["tokens"])
        print(
            f"{name:<16}{row['rows']:>9}{row['spoken']:>9}{row['aligned']:>9}{row['hours']:>9.3f}{tokens}{row['tokens_per_second']:>10.2f}"
        )
    print("vocabulary that occurs: " + ", ".join(coverage(metadata.vocabulary, seen_V)))
    return 0


def summarize(split: ShardSplit, seen_V: np.ndarray) -> dict:
    """Counts of a split; tokens by KINDS, speech deduplicated as a model reads it. Marks the ids that occur
    in `seen_V` (bool [size]).
    """
    vocabulary, tokens, seconds, spoken, aligned = (
        split.metadata.vocabulary,
        np.zeros(len(KINDS), np.int64),
        0.0,
        0,
        0,
    )
    for record in split:
        assert isinstance(record, Record)
        aligned += record.aligned
        tokens[0] += len(record.text_ids)
        seen_V[record.text_ids] = True
        if record.speech is None:
            continue
        spoken, seconds = spoken + 1, seconds + record.speech.duration_s
        kind_N, code_N, _ = merge(record.speech)
        tokens[1:] += np.bincount(kind_N, minlength=len(MARKS))
        seen_V[vocabulary.encode_stream(kind_N, code_N)] = True
    rate = int(tokens[1:].sum()) / seconds if seconds else 0.0
    counts = {"rows": len(split), "spoken": spoken, "aligned": aligned}
    return {**counts, "hours": seconds / 3600, "tokens": tokens.tolist(), "tokens_per_second": rate}


def coverage(vocabulary: Vocabulary, seen_V: np.ndarray) -> list[str]:
    """`n of m` for text pieces and for each kind of speech code that the vocabulary has."""
    starts = {
        "text": 0,
        "units": vocabulary.unit_start,
        "pitch": vocabulary.pitch_start,
        "style": vocabulary.style_start,
    }
    counts = {
        "text": vocabulary.text_size,
        "units": vocabulary.units,
        "pitch": vocabulary.pitches,
        "style": vocabulary.styles,
    }
    return [
        f"{int(seen_V[starts[name] :][:count].sum())} of {count} {name}"
        for name, count in counts.items()
        if count
    ]
