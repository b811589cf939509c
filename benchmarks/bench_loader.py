"""Training tokens/s of the loader on one core: read shards, shuffle, interleave, mix by tokens, pack to rows
of 4096.

    python -m benchmarks.bench_loader [--records 2000] [--rounds 3] [--seconds 3] [--read-ms 30]

The aim is 1 M tokens/s. It is compared in the same process with two others. `plain` is what one would write
first: a Python loop over words and units that concatenates documents and cuts rows, without segments and
without resuming. `finished` is our loader on finished documents (the `interleaved` config); the difference is
the cost of drawing spans at every pass. The processor time of this process counts, with that of the threads
that read ahead, not that of other work on the machine. The best round counts.

`slow` is our loader where every read of a record takes `--read-ms`, as from a bucket: seconds of the clock
for the first batch and the median of later ones. A host of a v5e-256 takes 4 rows of 4096 tokens a step. The
aim is a tenth of the roofline's step of 1.21 s. The last line is JSON.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.peers.plain_tokens import interleave_plainly
from data_prep.shards.contents import Contents
from data_prep.shards.token_shards import write_shards
from spirit_jax.core.files import write_jsonl
from spirit_jax.datasets.shards import Layout, Metadata, ShardSplit, open_shards
from spirit_jax.datasets.units_folder import UnitsFolder
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training.data.batches import training_batches
from spirit_jax.training.data.sources import OpenSource

LENGTH, ROWS = 4096, 4
VOCABULARY = Vocabulary.base()
SPANS = Spans()
SECONDS, WORDS_A_SECOND = (15.0, 40.0), 2.5


def make_rows(spoken: int, texts: int) -> Iterator[dict]:
    """Utterances of 15 to 40 s with 25 units a second in runs of 1 or 2, and texts of 200 to 800 words of 1
    to 3 letters.
    """
    rng = np.random.default_rng(0)
    silent = {"units": None, "audio": None, "words": None, "duration_s": None}
    for index in range(spoken + texts):
        common = {
            "id": f"{index}",
            "voice": "v",
            "source": "made",
            "split": "speech" if index < spoken else "text",
        }
        if index >= spoken:
            yield {
                **common,
                **silent,
                "text": " ".join("x" * int(n) for n in rng.integers(1, 4, rng.integers(200, 800))),
            }
            continue
        seconds = rng.uniform(*SECONDS)
        words = int(seconds * WORDS_A_SECOND)
        starts = np.sort(rng.uniform(0, seconds, words))
        times = [
            ["x" * int(n), start, end]
            for n, start, end in zip(rng.integers(1, 4, words), starts, [*starts[1:], seconds])
        ]
        units = np.repeat(rng.integers(0, 501, int(seconds * 25)), rng.integers(1, 3, int(seconds * 25)))[
            : int(seconds * 25)
        ]
        speech = {
            "units": units.tolist(),
            "audio": "a.wav",
            "words": times,
            "duration_s": seconds,
        }
        yield {**common, **speech, "text": " ".join(word for word, _, _ in times)}


class Letters:
    """A tokenizer that gives each word as many ids as it has letters."""

    size, bos, eos, unk, fingerprint = VOCABULARY.text_size, 1, 2, 0, "0" * 16

    def encode_texts(self, texts: list[str], threads: int | None) -> list[np.ndarray]:
        """As `TextTokenizer.encode_texts`."""
        return [self.encode_words(text.split())[0] for text in texts]

    def encode_words(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `TextTokenizer.encode_words`."""
        offsets = np.cumsum([0, *map(len, words)], dtype=np.int32)
        return np.arange(offsets[-1], dtype=np.int32) % 30_000 + 3, offsets


def write(folder: Path, layout: Layout, rows: list[dict]) -> dict[str, ShardSplit]:
    """Writes a data set of `rows`; its splits."""
    fingerprint = Letters.fingerprint
    metadata = Metadata(layout, VOCABULARY, fingerprint, fingerprint)
    file = folder / "units.jsonl"
    write_jsonl(file, rows)
    units = UnitsFolder(str(folder), fingerprint, VOCABULARY.streams, (file,))
    write_shards(Contents(metadata, Letters(), units), folder)  # pyright: ignore[reportArgumentType]
    return {name: open_shards(folder, layout, name) for name in ("speech", "text")}


def load(splits: dict[str, ShardSplit]) -> Iterator[int]:
    """Tokens of each batch of our loader: the paper's thirds."""
    chosen = [
        ("speech", Arrangement.INTERLEAVED),
        ("speech", Arrangement.SPEECH),
        ("text", Arrangement.TEXT),
    ]
    sources = [
        OpenSource(
            how.value,
            splits[split].stored,
            splits[split].parse,
            partial(arrange, arrangement=how, vocabulary=VOCABULARY, spans=SPANS),
            VOCABULARY,
        )
        for split, how in chosen
    ]
    for batch in training_batches(sources, LENGTH, ROWS, seed=0):
        yield int(np.sum(batch.loss_weights))


class SlowReads:
    """The bytes of a split's records, each `seconds` late."""

    def __init__(self, serialized: Sequence[bytes], seconds: float):
        self.serialized, self.seconds = serialized, seconds

    def __len__(self) -> int:
        return len(self.serialized)

    def __getitem__(self, index: int) -> bytes:
        time.sleep(self.seconds)
        return self.serialized[index]

    def __getitems__(self, indices: Sequence[int]) -> list[bytes]:
        return [self[index] for index in indices]


def measure_slow_reads(folder: Path, seconds: float, steps: int = 40) -> tuple[float, float]:
    """Seconds of the clock for the first batch, and the median of `steps` later ones."""
    splits = {name: open_shards(folder, Layout.ALIGNED, name) for name in ("speech", "text")}
    for split in splits.values():
        split.stored = SlowReads(split.stored, seconds)
    batches, times = load(splits), [time.perf_counter()]
    for _ in range(steps + 1):
        next(batches)
        times.append(time.perf_counter())
    first_s, *later_s = np.diff(times)
    return float(first_s), float(np.median(later_s))


def load_plainly(splits: dict[str, ShardSplit]) -> Iterator[int]:
    """Tokens of each batch of the loader that one would write first: the same thirds."""
    rng, buffer, rows = np.random.default_rng(0), [], []
    sources = [
        (splits["speech"], document_interleaved),
        (splits["speech"], document_speech),
        (splits["text"], document_text),
    ]
    orders = [itertools.cycle(rng.permutation(len(split)).tolist()) for split, _ in sources]
    tokens = [0] * len(sources)
    while True:
        source = tokens.index(min(tokens))
        split, document = sources[source]
        ids = [1, *document(split[next(orders[source])], rng), 2]
        tokens[source] += len(ids)
        buffer += ids
        while len(buffer) > LENGTH:
            rows.append(np.array(buffer[: LENGTH + 1], np.int32))
            del buffer[:LENGTH]
        if len(rows) >= ROWS:
            batch, rows = np.stack(rows[:ROWS]), rows[ROWS:]
            yield batch[:, :-1].size


def document_text(record: Record, rng: np.random.Generator) -> list[int]:
    """[Text] and the ids."""
    return [VOCABULARY.text_tag, *record.text_ids.tolist()]


def document_speech(record: Record, rng: np.random.Generator) -> list[int]:
    """[Speech] and the units, deduplicated."""
    start = int(VOCABULARY.starts[0])
    return [
        VOCABULARY.speech_tag,
        *(start + unit for unit, _ in itertools.groupby(record.speech.units.tolist())),
    ]


def document_interleaved(record: Record, rng: np.random.Generator) -> list[int]:
    """Text and speech spans in turn."""
    return interleave_plainly(record, VOCABULARY, SPANS, rng)


def measure(loader: Iterator[int], seconds: float) -> float:
    """Tokens a second of processor time, over about `seconds`."""
    start, tokens = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        tokens += next(loader)
    return tokens / spent


def main() -> None:
    """Prints what is measured, JSON last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each loader and round")
    parser.add_argument("--read-ms", type=float, default=30.0, help="of a slow read of a record")
    args = parser.parse_args()
    rows = list(make_rows(args.records, args.records // 2))
    with tempfile.TemporaryDirectory() as folder:
        aligned = write(Path(folder) / "a", Layout.ALIGNED, rows)
        finished = write(Path(folder) / "f", Layout.INTERLEAVED, rows)
        loaders = {"ours": load(aligned), "plain": load_plainly(aligned), "finished": load(finished)}
        for loader in loaders.values():
            next(loader)
        speeds = {
            name: max(measure(loader, args.seconds) for _ in range(args.rounds))
            for name, loader in loaders.items()
        }
        first_s, later_s = measure_slow_reads(Path(folder) / "a", args.read_ms / 1000)
    for name, speed in speeds.items():
        print(f"{name}: {speed / 1e6:.2f} M tokens/s")
    print(f"slow, {args.read_ms:g} ms a read: first batch {first_s:.2f} s, then {later_s:.3f} s a batch")
    result = {
        "benchmark": "loader",
        "first_batch_of_slow_reads_s": round(first_s, 3),
        "batch_of_slow_reads_s": round(later_s, 4),
        "tokens_per_second": round(speeds["ours"]),
        "ratio_to_plain_python": round(speeds["ours"] / speeds["plain"], 2),
        "ratio_to_finished_documents": round(speeds["ours"] / speeds["finished"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
