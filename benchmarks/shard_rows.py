"""Rows of `benchmarks.bench_data` on token shards: texts compared with the tokenizer alone, and Apache Beam
with two worker processes compared with one.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sentencepiece

from benchmarks import sides
from data_prep.shards.contents import Draws, Inputs
from data_prep.shards.token_shards import GROUP_ROWS, write_shards
from spirit_jax.core.files import read_jsonl
from spirit_jax.datasets.shards import Layout
from spirit_jax.tokens.text import train_tokenizer

WORDS, LEXICON, PIECES = 300, 8000, 2000
TEXTS_AN_UTTERANCE = 3000  # `--utterances 48` gives 144,000 texts
BEAM_FILES = 4  # of texts: each is read by one worker
BEAM = "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers={}"


def bench_texts(args: argparse.Namespace) -> dict[str, float]:
    """Texts of 300 words to shards, and SentencePiece's batches alone on the same cores. The ratio of
    processor times does not depend on what else the machine does.
    """
    with tempfile.TemporaryDirectory() as folder:
        count = args.utterances * TEXTS_AN_UTTERANCE
        make_texts(Path(folder), count)
        entrants = [sides.ours(make, (folder,)) for make in (shards_side, tokenizer_side)]
        named = [side._replace(name=name) for side, name in zip(entrants, ("shards", "tokenizer"))]
        spent, cpu = sides.race(named, args.rounds, turns=1)
    best = {name: min(times) for name, times in spent.items()}
    rates = {f"{name}_rows_per_second": count / seconds for name, seconds in best.items()}
    ratio = {"ratio": best["tokenizer"] / best["shards"], "ratio_of_cpu": cpu["tokenizer"] / cpu["shards"]}
    return rates | ratio


def bench_beam(args: argparse.Namespace) -> dict[str, float]:
    """The same texts by the command, through DirectRunner with one and with two worker processes in turn:
    rows a second once they run, and the seconds before, from the best times of a quarter of the texts and of
    all.
    """
    few, most = (args.utterances * TEXTS_AN_UTTERANCE // part for part in (4, 1))
    spent = {(count, workers): [] for count in (few, most) for workers in (1, 2)}
    with tempfile.TemporaryDirectory() as root:
        for count in (few, most):
            make_texts(Path(root) / str(count), count, BEAM_FILES)
        for _ in range(args.rounds):
            for (count, workers), times in spent.items():
                times.append(_beam_seconds(Path(root) / str(count), workers))
    best = {run: min(times) for run, times in spent.items()}
    rates = {workers: (most - few) / (best[most, workers] - best[few, workers]) for workers in (1, 2)}
    figures = {f"workers_{workers}_rows_per_second": rate for workers, rate in rates.items()}
    figures |= {f"workers_{w}_start_seconds": best[most, w] - most / rates[w] for w in rates}
    return figures | {"ratio": rates[2] / rates[1], "ratio_with_start": best[most, 1] / best[most, 2]}


def _beam_seconds(folder: Path, workers: int) -> float:
    command = [sys.executable, "-m", "data_prep", "shards", "--tokenizer", str(folder / "tokenizer")]
    command += ["--texts", *map(str, sorted(folder.glob("*.jsonl"))), f"--beam={BEAM.format(workers)}"]
    started = time.perf_counter()
    subprocess.run([*command, "--out", str(folder / "out")], check=True, capture_output=True)
    return time.perf_counter() - started


def make_texts(folder: Path, count: int, files: int = 1) -> None:
    """Files with texts of random words, and a tokenizer of them, in a folder that is made."""
    folder.mkdir(exist_ok=True)
    rng = random.Random(0)
    words = [
        "".join(rng.choices("etaoinshrdlucmfwyp", k=rng.choice([2, 3, 4, 5, 6, 9]))) for _ in range(LEXICON)
    ]
    texts = [" ".join(rng.choices(words, k=WORDS)) for _ in range(count)]
    paths = [folder / f"texts{part}.jsonl" for part in range(files)]
    for part, path in enumerate(paths):
        rows = ({"id": f"t{number}", "text": texts[number]} for number in range(part, count, files))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_tokenizer(texts[:300], PIECES, folder / "tokenizer")


def open_inputs(folder: Path) -> Inputs:
    """Aligned shards of the texts."""
    texts = tuple(sorted(folder.glob("*.jsonl")))
    return Inputs(folder / "tokenizer", None, (), texts, Layout.ALIGNED, Draws())


def shards_side(folder: str) -> sides.Runs:
    """The command's work; returns its processor seconds."""
    contents, out = open_inputs(Path(folder)).open(), Path(folder) / "out"

    def run() -> float:
        started = _cpu_seconds()
        write_shards(contents, out)
        return _cpu_seconds() - started

    return sides.warmed(run)


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def tokenizer_side(folder: str) -> sides.Runs:
    """The texts, which are in memory, through SentencePiece's own batches in groups; the same."""
    texts = [row["text"] for row in read_jsonl(Path(folder) / "texts0.jsonl")]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(Path(folder) / "tokenizer"))

    def run() -> float:
        started = time.process_time()
        for first in range(0, len(texts), GROUP_ROWS):
            tokenizer.EncodeAsNumpy(texts[first : first + GROUP_ROWS], num_threads=sides.THREADS)
        return time.process_time() - started

    return sides.warmed(run)
