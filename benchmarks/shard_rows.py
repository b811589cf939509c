"""Rows of `benchmarks.bench_data` on token shards: texts compared with the tokenizer alone, and Apache Beam
with two worker processes compared with one.
"""

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path

import sentencepiece

from benchmarks import sides
from data_prep.shards.contents import Draws, Inputs
from data_prep.shards.token_shards import GROUP_ROWS, HereWriter, write_shards
from spirit_jax.core.files import read_jsonl
from spirit_jax.datasets.shards import Layout
from spirit_jax.tokens.text import train_tokenizer

WORDS, LEXICON, PIECES = 300, 8000, 2000
TEXTS_AN_UTTERANCE = 2000  # `--utterances 48` gives 96,000 texts
BEAM = "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers={}"


def bench_texts(args: argparse.Namespace) -> dict[str, float]:
    """Texts of 300 words to shards, and SentencePiece's batches alone on the same cores. The ratio of
    processor times does not depend on what else the machine does.
    """
    with tempfile.TemporaryDirectory() as folder:
        count = make_texts(Path(folder), args.utterances * TEXTS_AN_UTTERANCE)
        entrants = [sides.ours(make, (folder,)) for make in (shards_side, tokenizer_side)]
        named = [side._replace(name=name) for side, name in zip(entrants, ("shards", "tokenizer"))]
        spent, cpu = sides.race(named, args.rounds, turns=1)
    best = {name: min(times) for name, times in spent.items()}
    rates = {f"{name}_rows_per_second": count / seconds for name, seconds in best.items()}
    ratio = {"ratio": best["tokenizer"] / best["shards"], "ratio_of_cpu": cpu["tokenizer"] / cpu["shards"]}
    return rates | ratio


def bench_beam(args: argparse.Namespace) -> dict[str, float]:
    """The same texts through DirectRunner; the seconds of one and of two worker processes, start included."""
    from data_prep.shards.beam_writer import BeamWriter

    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        count = make_texts(Path(folder), args.utterances * TEXTS_AN_UTTERANCE)
        for workers in (1, 2):
            inputs, out = open_inputs(Path(folder)), Path(folder) / f"out{workers}"
            writer = BeamWriter(inputs, out, BEAM.format(workers))
            started = time.perf_counter()
            write_shards(inputs.open(), out, writer)
            seconds[workers] = time.perf_counter() - started
    rates = {f"workers_{workers}_rows_per_second": count / spent for workers, spent in seconds.items()}
    return rates | {"ratio": seconds[1] / seconds[2]}


def make_texts(folder: Path, count: int) -> int:
    """`texts.jsonl` with texts of random words, and a tokenizer of them."""
    rng = random.Random(0)
    words = [
        "".join(rng.choices("etaoinshrdlucmfwyp", k=rng.choice([2, 3, 4, 5, 6, 9]))) for _ in range(LEXICON)
    ]
    texts = [" ".join(rng.choices(words, k=WORDS)) for _ in range(count)]
    with open(folder / "texts.jsonl", "w") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"id": f"t{number}", "text": text}) + "\n")
    train_tokenizer(texts[:300], PIECES, folder / "tokenizer")
    return count


def open_inputs(folder: Path) -> Inputs:
    """Aligned shards of the texts."""
    return Inputs(folder / "tokenizer", None, (), (folder / "texts.jsonl",), Layout.ALIGNED, Draws())


def shards_side(folder: str) -> sides.Runs:
    """The command's work; returns its processor seconds."""
    contents, out = open_inputs(Path(folder)).open(), Path(folder) / "out"

    def run() -> float:
        started = _cpu_seconds()
        write_shards(contents, out, HereWriter(contents, sides.THREADS))
        return _cpu_seconds() - started

    return sides.warmed(run)


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def tokenizer_side(folder: str) -> sides.Runs:
    """The texts, which are in memory, through SentencePiece's own batches in groups; the same."""
    texts = [row["text"] for row in read_jsonl(Path(folder) / "texts.jsonl")]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(Path(folder) / "tokenizer"))

    def run() -> float:
        started = time.process_time()
        for first in range(0, len(texts), GROUP_ROWS):
            tokenizer.EncodeAsNumpy(texts[first : first + GROUP_ROWS], num_threads=sides.THREADS)
        return time.process_time() - started

    return sides.warmed(run)
