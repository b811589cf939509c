"""Merging streams to ids, and interleaving a record, compared with plain Python (`plain_tokens`).

    python -m benchmarks.bench_tokens [--units 1000000] [--records 2000] [--rounds 5]

The aim is 10 M units/s for merging. Both sides take turns in the same process, and merging must give the same
ids. The best round of each side counts. The last line is JSON.
"""

import argparse
import json

import numpy as np

from benchmarks.peers.plain_tokens import interleave_plainly, merge_plainly
from benchmarks.sides import best_of
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.streams import SpeechTokens, Streams
from spirit_jax.tokens.vocabulary import Vocabulary, merge

WORDS_A_SECOND = 2.5
RECORD_SECONDS = 29.0  # about 500 tokens of Base
LONGEST_RUNS = {"units": 2, "pitch": 4, "style": 1}  # codes in a row, near the published rates of tokens


def make_speech(units: int, streams: Streams) -> SpeechTokens:
    """Random codes in runs of 1 to `LONGEST_RUNS`."""
    rng, codes = np.random.default_rng(0), {}
    for stream in streams:
        count = int(units / streams[0].rate * stream.rate)
        runs = rng.integers(1, LONGEST_RUNS[stream.name] + 1, count)
        codes[stream.name] = np.repeat(rng.integers(0, stream.size, count), runs)[:count]
    return SpeechTokens(codes)


def make_record(streams: Streams) -> Record:
    """An aligned utterance of `RECORD_SECONDS` with two text ids a word."""
    rng, words = np.random.default_rng(0), int(RECORD_SECONDS * WORDS_A_SECOND)
    starts = np.sort(rng.uniform(0, RECORD_SECONDS, words)).astype(np.float32)
    offsets = np.arange(words + 1, dtype=np.int32) * 2
    speech = make_speech(int(RECORD_SECONDS * streams[0].rate), streams)
    text_ids = rng.integers(3, 32_000, 2 * words).astype(np.int32)
    return Record("r", "s", "v", speech, text_ids, offsets, starts, starts)


def bench_merge(name: str, vocabulary: Vocabulary, units: int, rounds: int) -> dict[str, float]:
    """Units merged a second, and how many times faster than plain Python that is."""
    speech = make_speech(units, vocabulary.streams)
    (ours_s, plain_s), (ids_N, tokens) = best_of(
        rounds,
        lambda: vocabulary.encode_stream(*merge(speech, vocabulary.streams)[:2]),
        lambda: merge_plainly(speech, vocabulary),
    )
    assert ids_N.tolist() == [id for _, id in tokens]
    return {f"{name}_merge_units_per_second": units / ours_s, f"{name}_merge_ratio": plain_s / ours_s}


def bench_interleave(name: str, vocabulary: Vocabulary, records: int, rounds: int) -> dict[str, float]:
    """Time to interleave a record, the tokens that come out a second, and how many times faster than plain
    Python that is.
    """
    record, spans, rng = make_record(vocabulary.streams), Spans(), np.random.default_rng(0)
    (ours_s, plain_s), (lengths, _) = best_of(
        rounds,
        lambda: [
            len(arrange(record, Arrangement.INTERLEAVED, vocabulary, spans, rng)[0]) for _ in range(records)
        ],
        lambda: [len(interleave_plainly(record, vocabulary, spans, rng)) for _ in range(records)],
    )
    return {
        f"{name}_interleave_us_per_record": 1e6 * ours_s / records,
        f"{name}_interleave_tokens_per_second": sum(lengths) / ours_s,
        f"{name}_interleave_ratio": plain_s / ours_s,
    }


def main() -> None:
    """Prints the figures, then all of them as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=1_000_000, help="units to merge")
    parser.add_argument("--records", type=int, default=2_000, help="records to interleave")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    results = {}
    for name, vocabulary in (("base", Vocabulary.base()), ("expressive", Vocabulary.expressive())):
        results |= bench_merge(name, vocabulary, args.units, args.rounds)
        results |= bench_interleave(name, vocabulary, args.records, args.rounds)
    for key, value in results.items():
        print(f"{key:40s} {value:14,.1f}")
    print(json.dumps({"benchmark": "tokens", "baseline": "loops of plain Python", **results}))


if __name__ == "__main__":
    main()
