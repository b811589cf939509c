"""ABX errors compared with those of fastabx, on small random data sets.

    python -m benchmarks.compare_abx [--cases 50]

It needs Python 3.12, fastabx and PyTorch, so an environment of its own. Units are axes there, which differ
by a right angle or not at all. The last line is JSON, by kind of frames and of speakers: the largest and the
mean difference of an error, and how many errors differ by more than 1e-6. Errors of units differ: of equally
cheap paths torchdtw prefers a step in the second sequence, ours the shorter one, the same both ways.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from fastabx import Dataset, Score, Task

from spirit_jax.evals.metrics.abx import Said, errors_by_phones, errors_of, estimate_error, make_cells

RATE, UNITS, CLOSE = 25, 4, 1e-6
PHONES, CONTEXTS, SPEAKERS, MOST, LONGEST = "abcd", "xyz", "123", 4, 8
HEADER = "#file onset offset #phone prev-phone next-phone speaker"


def draw(rng: np.random.Generator, units: bool) -> tuple[list[Said], list[np.ndarray]]:
    """Realisations of each phone in each context by each speaker, and the frames of each."""
    said, frames = [], []
    for phone, context, speaker in itertools.product(PHONES, CONTEXTS, SPEAKERS):
        for _ in range(rng.integers(MOST + 1)):
            length = rng.integers(1, LONGEST + 1)
            said.append(Said(phone, context, speaker))
            frames.append(rng.integers(UNITS, size=length) if units else rng.normal(size=(length, 5)))
    return said, frames


def error_of_fastabx(said: list[Said], frames: list[np.ndarray], across: bool, folder: Path) -> float:
    """From an item file, and a file of features for each realisation."""
    lines = [HEADER]
    for i, (one, part) in enumerate(zip(said, frames)):
        features = np.eye(UNITS)[part] if part.ndim == 1 else part
        torch.save(torch.from_numpy(features.astype(np.float32)), folder / f"{i}.pt")
        lines.append(
            f"{i} 0.0000 {len(part) / RATE:.4f} {one.phone} {one.context} {one.context} {one.speaker}"
        )
    (folder / "all.item").write_text("\n".join(lines) + "\n")
    data = Dataset.from_item(folder / "all.item", folder, RATE)
    context = ["prev-phone", "next-phone"]
    task = (
        Task(data, on="#phone", by=context, across=["speaker"])
        if across
        else Task(data, on="#phone", by=[*context, "speaker"])
    )
    return Score(task, "angular").collapse(levels=[tuple(context), "speaker"])


def our_error(said: list[Said], frames: list[np.ndarray], across: bool) -> float:
    """Of the same realisations."""
    cells = make_cells(said, across)
    value = estimate_error(errors_by_phones(cells, errors_of(frames, cells))).value
    assert value is not None
    return value


def main() -> None:
    """Prints one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=50, help="random data sets of each kind")
    args = parser.parse_args()
    figures = {}
    for units, across in itertools.product((False, True), repeat=2):
        apart = []
        for seed in range(args.cases):
            said, frames = draw(np.random.default_rng((seed, units, across)), units)
            with tempfile.TemporaryDirectory() as folder:
                theirs = error_of_fastabx(said, frames, across, Path(folder))
            apart.append(abs(our_error(said, frames, across) - theirs))
        name = f"{'units' if units else 'features'} {'across' if across else 'within'}"
        figures[name] = {
            "cases": args.cases,
            "largest": max(apart),
            "mean": float(np.mean(apart)),
            "differ": sum(one > CLOSE for one in apart),
        }
        print(name, figures[name])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
