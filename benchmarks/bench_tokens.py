"""Rendering and parsing in units/s beside plain Python, and interleaving per record. Run: `python -m
benchmarks.bench_tokens`.

The aim is 10 M units/s each; the baselines are what one would write first: groupby and an f-string join, `re`
and a loop. Both sides run in turn in the same process and must agree. The best of a few rounds counts. The
last line is JSON.
"""

import argparse
import itertools
import json
import re
import time
from collections.abc import Callable

import numpy as np

from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.streams import PITCH_RATE, STYLE_RATE, UNIT_RATE, UNIT_TIME_RATE, SpeechTokens
from spirit_jax.tokens.strings import parse, render
from spirit_jax.tokens.vocabulary import Vocabulary

TOKEN = re.compile(r"\[(Hu|Pi|St)(\d+)\]")
WORDS_A_SECOND = 2.5


def make_speech(units: int, expressive: bool, seed: int = 0) -> SpeechTokens:
    """Random codes in runs of 1 or 2 (units) and 1 to 4 (pitch), near the published rates after
    deduplication.
    """
    rng = np.random.default_rng(seed)

    def runs(codes: int, count: int, longest: int) -> np.ndarray:
        return np.repeat(rng.integers(0, codes, count), rng.integers(1, longest + 1, count))[:count]

    if not expressive:
        return SpeechTokens(runs(501, units, 2))
    seconds = units / UNIT_RATE
    return SpeechTokens(
        runs(501, units, 2),
        runs(64, int(seconds * PITCH_RATE), 4),
        rng.integers(0, 100, int(seconds * STYLE_RATE)),
    )


def render_plainly(speech: SpeechTokens) -> str:
    """`render` in plain Python."""
    if speech.pitch is None or speech.style is None:
        return "".join(f"[Hu{unit}]" for unit, _ in itertools.groupby(speech.units.tolist()))
    tokens = [(index / STYLE_RATE, f"[St{style}]") for index, style in enumerate(speech.style.tolist())]
    for mark, rate, codes in (("Pi", PITCH_RATE, speech.pitch), ("Hu", UNIT_TIME_RATE, speech.units)):
        runs = itertools.groupby(enumerate(codes.tolist()), lambda pair: pair[1])
        tokens += [(next(run)[0] / rate, f"[{mark}{code}]") for code, run in runs]
    return "".join(token for _, token in sorted(tokens, key=lambda token: token[0]))


def parse_plainly(string: str) -> list[list[int]]:
    """`parse` with `re`, for strings whose first unit has all that it needs before it."""
    now, columns = {"St": 0, "Pi": 0}, [[], [], []]
    for mark, code in TOKEN.findall(string):
        if mark == "Hu":
            for column, value in zip(columns, (int(code), now["Pi"], now["St"]), strict=True):
                column.append(value)
        else:
            now[mark] = int(code)
    return columns


def best_seconds(rounds: int, *functions: Callable) -> list[float]:
    """The shortest time of each function over some rounds, taken in turn."""
    times = [[] for _ in functions]
    for _ in range(rounds):
        for function, spent in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return [min(spent) for spent in times]


def bench_strings(name: str, speech: SpeechTokens, rounds: int) -> dict[str, float]:
    """Units/s of render (units given) and parse (units found), and how many times plain Python's each is."""
    string = render(speech)
    found = parse(string)
    assert string == render_plainly(speech)
    assert found.units.tolist() == parse_plainly(string)[0]
    ours, plain = best_seconds(rounds, lambda: render(speech), lambda: render_plainly(speech))
    results = {
        f"{name}_render_units_per_second": len(speech.units) / ours,
        f"{name}_render_ratio": plain / ours,
    }
    ours, plain = best_seconds(rounds, lambda: parse(string), lambda: parse_plainly(string))
    return results | {
        f"{name}_parse_units_per_second": len(found.units) / ours,
        f"{name}_parse_ratio": plain / ours,
    }


def bench_interleave(
    name: str, vocabulary: Vocabulary, records: int, rounds: int, seconds: float = 29.0
) -> dict[str, float]:
    """Time to interleave one record of about 500 Base tokens, drawn anew, and the tokens that come out a
    second.
    """
    rng = np.random.default_rng(0)
    words = int(seconds * WORDS_A_SECOND)
    starts = np.sort(rng.uniform(0, seconds, words)).astype(np.float32)
    offsets = np.arange(words + 1, dtype=np.int32) * 2
    speech = make_speech(int(seconds * UNIT_RATE), vocabulary.has_pitch)
    record = Record(
        "r", "s", "v", speech, rng.integers(3, 32_000, 2 * words).astype(np.int32), offsets, starts, starts
    )
    tokens = 0

    def run() -> None:
        nonlocal tokens
        draws = (arrange(record, Arrangement.INTERLEAVED, vocabulary, Spans(), rng) for _ in range(records))
        tokens = sum(len(document) for documents in draws for document in documents)

    (spent,) = best_seconds(rounds, run)
    return {
        f"{name}_interleave_us_per_record": 1e6 * spent / records,
        f"{name}_interleave_tokens_per_second": tokens / spent,
    }


def main() -> None:
    """Prints the figures, then all of them as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000, help="units to render and parse")
    parser.add_argument("--records", type=int, default=2_000, help="records to interleave")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    results = {}
    for name, vocabulary in (("base", Vocabulary.base()), ("expressive", Vocabulary.expressive())):
        results |= bench_strings(name, make_speech(args.units, vocabulary.has_pitch), args.rounds)
        results |= bench_interleave(name, vocabulary, args.records, args.rounds)
    for key, value in results.items():
        print(f"{key:40s} {value:14,.1f}")
    print(json.dumps({"benchmark": "tokens", "baseline": "groupby and f-string join; re.findall", **results}))


if __name__ == "__main__":
    main()
