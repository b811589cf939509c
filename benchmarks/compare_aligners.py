"""Word starts of a manifest compared with those of Whisper, which hears the words by itself.

    python -m benchmarks.compare_aligners MANIFEST --asr FOLDER [--rows 100]

MANIFEST is what `make align` wrote; FOLDER a Whisper model of faster-whisper (requirements-judges.txt).
Words that both have in the same order are compared; starts of Whisper come from its attention, in steps of
20 ms. The last line is JSON, in seconds: positive where Whisper begins later.
"""

import argparse
import difflib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel

from spirit_jax.core.progress import track
from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.datasets.manifest import read_corpus
from spirit_jax.evals.recordings import load_recording

Word = tuple[str, float]  # as compared, and its start in seconds


def plain(word: str) -> str:
    """Letters and digits alone."""
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def hear(model: WhisperModel, row: ManifestRow) -> list[Word]:
    """The words that Whisper hears in a row's sound."""
    wav = load_recording(row)
    segments, _ = model.transcribe(wav, language="en", beam_size=5, temperature=0.0, word_timestamps=True)
    return [(plain(word.word), word.start) for segment in segments for word in segment.words or ()]


def differences(ours: Sequence[Word], theirs: Sequence[Word]) -> Iterator[float]:
    """Their start less ours, for each word of both."""
    matcher = difflib.SequenceMatcher(None, [w for w, _ in ours], [w for w, _ in theirs], autojunk=False)
    for at, other, count in matcher.get_matching_blocks():
        for i in range(count):
            yield theirs[other + i][1] - ours[at + i][1]


def main() -> None:
    """Prints one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--asr", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100, help="drawn among those with word times")
    args = parser.parse_args()
    model = WhisperModel(str(args.asr), device="cpu", compute_type="float32")
    rows = [row for row in read_corpus(args.manifest) if row["words"]]
    rows = random.Random(0).sample(rows, min(args.rows, len(rows)))
    words, found = 0, []
    for row in track(rows, "hear"):
        ours = [(plain(word), start) for word, start, _ in row["words"] or ()]
        words += len(ours)
        found += differences(ours, hear(model, row))
    apart_N = np.abs(found)
    figures = {
        "recordings": len(rows),
        "words": words,
        "compared": len(found),
        "median": float(np.median(found)),
        "median_apart": float(np.median(apart_N)),
        "within_100_ms": float(np.mean(apart_N < 0.1)),
        "within_200_ms": float(np.mean(apart_N < 0.2)),
    }
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
