"""Training tokens/s of the loader on one core: read shards, shuffle, interleave, mix by tokens, pack to rows
of 4096.

Run: `python -m benchmarks.bench_loader`. The aim is 1 M tokens/s. Beside it, in turn and in the same process:
the loader that one would write first (a Python loop over words and units that concatenates documents and cuts
rows, without segments, mixing or resuming), and the same loader on finished documents (the `interleaved`
config), whose distance is the price of drawing spans anew. Seconds are those of the loading thread, so that
other work on the machine counts for neither side. The best of a few rounds counts. The last line is JSON.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from data_prep.token_shards import Draws, write_shards
from spirit_jax.datasets.shards import Layout, Metadata, ShardSplit, open_shards
from spirit_jax.tokens.interleave import Arrangement, Spans, arrange
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training.data.batches import training_batches
from spirit_jax.training.data.sources import OpenSource

LENGTH, ROWS = 4096, 4
VOCABULARY = Vocabulary.base()
SPANS = Spans()
SECONDS, WORDS_A_SECOND = (15.0, 40.0), 2.5


def make_rows(spoken: int, texts: int) -> Iterator[dict]:
    """Utterances of 15 to 40 s with 25 units a second in runs of 1 or 2, and texts of 200 to 800 words, a
    word being its length.
    """
    rng = np.random.default_rng(0)
    silent = {"units": None, "pitch": None, "style": None, "audio": None, "words": None, "duration_s": None}
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
            "pitch": None,
            "style": None,
            "audio": "a.wav",
            "words": times,
            "duration_s": seconds,
        }
        yield {**common, **speech, "text": " ".join(word for word, _, _ in times)}


class Letters:
    """A tokenizer that makes of each word as many ids as it has letters."""

    size, bos, eos, unk, fingerprint = VOCABULARY.text_size, 1, 2, 0, "0" * 16

    def encode_words(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `TextTokenizer.encode_words`."""
        offsets = np.cumsum([0, *map(len, words)], dtype=np.int32)
        return np.arange(offsets[-1], dtype=np.int32) % 30_000 + 3, offsets


def write(folder: Path, layout: Layout, rows: list[dict]) -> dict[str, ShardSplit]:
    """The splits of a data set made of `rows`."""
    metadata = Metadata(layout, VOCABULARY, Letters.fingerprint, "0" * 16)
    contents = SimpleNamespace(metadata=metadata, tokenizer=Letters(), draws=Draws(), rows=lambda: iter(rows))
    write_shards(contents, folder)
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
            how.value, splits[split], partial(arrange, arrangement=how, vocabulary=VOCABULARY, spans=SPANS)
        )
        for split, how in chosen
    ]
    for batch in training_batches(sources, LENGTH, ROWS, seed=0):
        yield int(np.sum(batch.loss_weights))


def load_plainly(splits: dict[str, ShardSplit]) -> Iterator[int]:
    """Tokens of each batch of the loader that one would write first: documents concatenated and cut, the same
    thirds.
    """
    rng, buffer, rows = np.random.default_rng(0), [], []
    sources = [
        (splits["speech"], document_mixed),
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


def document_text(record, rng) -> list[int]:
    """[Text] and the ids."""
    return [VOCABULARY.text_tag, *record.text_ids.tolist()]


def document_speech(record, rng) -> list[int]:
    """[Speech] and the units, each run once."""
    return [
        VOCABULARY.speech_tag,
        *(VOCABULARY.unit_start + unit for unit, _ in itertools.groupby(record.speech.units.tolist())),
    ]


def document_mixed(record, rng) -> list[int]:
    """Text and speech spans in turn, unit by unit."""
    units, ids = [], record.text_ids.tolist()
    for index, unit in enumerate(record.speech.units.tolist()):
        if index == 0 or unit != record.speech.units[index - 1]:
            units.append((index / 24.99, VOCABULARY.unit_start + unit))
    starts, offsets, first, speech, document = (
        record.word_start_s.tolist(),
        record.word_offsets.tolist(),
        0,
        rng.random() < 0.5,
        [],
    )
    while first < record.words:
        last = min(first + int(rng.integers(*(SPANS.speech if speech else SPANS.text))), record.words)
        if speech:
            begin, end = starts[first] if first else 0.0, starts[last] if last < record.words else 1e9
            document += [VOCABULARY.speech_tag, *(unit for time_s, unit in units if begin <= time_s < end)]
        else:
            document += [VOCABULARY.text_tag, *ids[offsets[first] : offsets[last]]]
        first, speech = last, not speech
    return document


def measure(loader: Iterator[int], seconds: float) -> float:
    """Tokens a second of this thread, over about `seconds`."""
    start, tokens = time.thread_time(), 0
    while (spent := time.thread_time() - start) < seconds:
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
    for name, speed in speeds.items():
        print(f"{name}: {speed / 1e6:.2f} M tokens/s")
    result = {
        "benchmark": "loader",
        "tokens_per_second": round(speeds["ours"]),
        "ratio_to_plain_python": round(speeds["ours"] / speeds["plain"], 2),
        "ratio_to_finished_documents": round(speeds["ours"] / speeds["finished"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
