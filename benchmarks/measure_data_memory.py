"""Peak memory of reading corpora and of writing shards, by the number of rows.

    python -m benchmarks.measure_data_memory [STAGE ...] [--rows 100000 1000000]

Each stage runs in a fresh process for each number of rows, on a corpus that it makes in a temporary folder.
The last line is JSON: MB by stage and rows, and the largest over the smallest of each stage.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from data_prep.shards.contents import Draws, Inputs
from data_prep.shards.token_shards import write_shards
from spirit_jax.datasets.manifest import open_corpus, stream_texts
from spirit_jax.datasets.shards import Layout
from spirit_jax.tokens.text import train_tokenizer

LETTERS = 300  # of a text that is read
STORED_LETTERS = 100  # of a text that is written


def write_rows(path: Path, count: int, spoken: bool, letters: int = LETTERS) -> Path:
    """A manifest of recordings with transcripts, or of texts."""
    text = ("the quick brown fox jumps over the lazy dog " * letters)[: letters - 10]
    with open(path, "w") as file:
        for number in range(count):
            audio = {"audio": f"wav/{number:09d}.wav", "voice": f"v{number % 100}"} if spoken else {}
            file.write(json.dumps({"id": f"r{number}", "text": f"{text} {number}", **audio}) + "\n")
    return path


def read_recordings(folder: Path, count: int) -> None:
    """`open_corpus` on a manifest of recordings, then a pass over its rows."""
    deque(open_corpus(write_rows(folder / "recordings.jsonl", count, spoken=True)).rows, maxlen=0)


def read_texts(folder: Path, count: int) -> None:
    """`stream_texts` on a manifest of texts."""
    deque(stream_texts(write_rows(folder / "texts.jsonl", count, spoken=False)), maxlen=0)


def make_shards(folder: Path, count: int) -> None:
    """Aligned shards of texts, all for training."""
    path = write_rows(folder / "texts.jsonl", count, False, STORED_LETTERS)
    train_tokenizer(["the quick brown fox jumps over the lazy dog 0123456789"] * 9, 300, folder / "tokenizer")
    inputs = Inputs(folder / "tokenizer", None, (), (path,), Layout.ALIGNED, Draws())
    write_shards(inputs.open(), folder / "shards")


STAGES: dict[str, Callable[[Path, int], None]] = {
    "recordings": read_recordings,
    "texts": read_texts,
    "shards": make_shards,
}


def measure(stage: str, count: int) -> float:
    """MB at the peak of this process, which runs the stage alone."""
    with tempfile.TemporaryDirectory() as folder:
        STAGES[stage](Path(folder), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Prints a line for each stage and number of rows, then all of them as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", default=[], metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    args = parser.parse_args()
    results = {}
    for stage in args.stages or STAGES:
        peaks = {}
        for count in args.rows:
            started = time.perf_counter()
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                peaks[count] = round(process.submit(measure, stage, count).result(), 1)
            print(
                f"{stage}: {count:,} rows, {peaks[count]} MB, {time.perf_counter() - started:.0f} s",
                flush=True,
            )
        results[stage] = {**peaks, "ratio": round(max(peaks.values()) / min(peaks.values()), 3)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
