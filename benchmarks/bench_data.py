"""Data preparation: extraction of units compared with PyTorch; rates of cutting, alignment and shards.

    python -m benchmarks.bench_data [ROW ...] [--rounds 3] [--utterances 48]

Sides take turns, each in a fresh process (benchmarks/sides.py). The best round of each side counts. The last
line is JSON. Needs requirements-parity.txt.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from benchmarks import sides
from benchmarks.bench_speech import DEVICE, LAYERS, make_hubert, make_wavs, run_one_by_one
from benchmarks.shard_rows import bench_beam, bench_texts
from data_prep.alignment.aligners import SphinxAligner
from data_prep.alignment.viterbi import align_batch
from data_prep.espeak import Voice, speak
from data_prep.extract_units import extract
from data_prep.grammar import draw_distinct
from data_prep.segmentation.cuts import Lengths
from data_prep.segmentation.parts import cut_row
from data_prep.segmentation.silence import Detector, measure
from spirit_jax.core.files import read_jsonl
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.encoders.hubert import Hubert, HubertUnits
from spirit_jax.speech.quantizers.linear import KmeansQuantizer
from spirit_jax.tokens.streams import SAMPLE_RATE

CENTRES = 500
LONG_MINUTES = 30  # of the recording that is cut
FRAMES_A_SECOND, CHARACTERS_A_SECOND, CHARACTERS = 50, 14, 32  # of a CTC network and of read English
Figures = dict[str, float | int | str]


def bench_units(args: argparse.Namespace) -> Figures:
    """From wav files of 2 to 20 s to unit files, with HuBERT base at 25 Hz of random weights. PyTorch encodes
    one file at a time, as the published release does.
    """
    with tempfile.TemporaryDirectory() as folder:
        seconds = np.random.default_rng(0).uniform(2, 20, args.utterances).tolist()
        for number, wav in enumerate(make_wavs(seconds)):
            audio.save(Path(folder) / f"corpus/{number:04d}.wav", wav)
        entrants = [sides.ours(our_units, (folder,)), *sides.peers("pytorch", their_units, (folder,))]
        spent, outputs = sides.race(entrants, args.rounds, turns=1)
    best = {name: min(times) for name, times in spent.items()}
    figures = {f"{name}_times_real_time": sum(seconds) / time_s for name, time_s in best.items()}
    ratios = {f"ratio_to_{name}": time_s / best["ours"] for name, time_s in best.items() if name != "ours"}
    return figures | ratios | {"equal_units": share_equal(outputs["ours"], outputs["pytorch"])}


def our_units(folder: str) -> sides.Runs:
    """`extract`, as `data_prep units` calls it; the units of each file."""
    _, encoder = make_hubert()
    codec = Codec((HubertUnits(Hubert(encoder, LAYERS), KmeansQuantizer(make_centres(encoder.cfg.width))),))
    out = Path(folder) / "units"

    def run() -> list[list[int]]:
        shutil.rmtree(out, ignore_errors=True)
        summary = extract(open_corpus(Path(folder) / "corpus"), codec, out, 1000)
        return [row["units"] for name in summary["shards"] for row in read_jsonl(out / name)]

    return sides.warmed(run)


def their_units(folder: str) -> sides.Runs:
    """transformers' HubertModel and the nearest centres, file after file."""
    (model, _), paths = make_hubert(), sorted((Path(folder) / "corpus").glob("*.wav"))
    centres_VD = torch.from_numpy(make_centres(model.config.hidden_size)).to(DEVICE)

    def run() -> list[list[int]]:
        units = []
        for path in paths:
            wav, _ = soundfile.read(path, dtype="float32")
            (features_TD,) = run_one_by_one(model, [wav])
            distance_TV = torch.cdist(torch.from_numpy(features_TD).to(DEVICE), centres_VD)
            units.append(distance_TV.argmin(dim=1).tolist())
        return units

    return sides.warmed(run)


def make_centres(width: int) -> np.ndarray:
    """Random centres, float32 [V, D]."""
    return np.random.default_rng(0).standard_normal((CENTRES, width)).astype(np.float32)


def share_equal(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> float:
    """The share of units that are the same."""
    pairs = [(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def bench_segment(args: argparse.Namespace) -> Figures:
    """A FLAC recording of half an hour, read from disk and cut at silences, in one thread."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.flac"
        audio.save(path, make_talk(LONG_MINUTES * 60))
        row = {"id": "long", "audio": str(path), "text": None, "words": None}

        def cut(detector: Detector) -> int:
            return len(cut_row(row, measure(audio.stream(path), detector), Lengths()).parts)

        (energy_s, silero_s, read_s), (parts, voiced, _) = sides.best_of(
            args.rounds,
            lambda: cut(Detector.ENERGY),
            lambda: cut(Detector.SILERO),
            lambda: sum(map(len, audio.stream(path))),
        )
    seconds = LONG_MINUTES * 60
    return {
        "energy_times_real_time": seconds / energy_s,
        "silero_times_real_time": seconds / silero_s,
        "reading_times_real_time": seconds / read_s,
        "energy_parts": parts,
        "silero_parts": voiced,
    }


def make_talk(seconds: float) -> np.ndarray:
    """Sentences with pauses of 0.2 to 1.2 s in faint noise."""
    rng, parts, held = np.random.default_rng(0), [], 0
    for wav, _ in make_sentences(40):
        parts += [wav, np.zeros(round(rng.uniform(0.2, 1.2) * SAMPLE_RATE), np.float32)]
        held += len(parts[-1]) + len(wav)
    talk = np.resize(np.concatenate(parts), round(seconds * SAMPLE_RATE))
    return talk + 1e-3 * rng.standard_normal(len(talk)).astype(np.float32)


def make_sentences(count: int) -> list[tuple[np.ndarray, str]]:
    """Sentences of the demo's grammar by espeak-ng, and their texts."""
    made = []
    for text, _ in zip(draw_distinct(random.Random(0)), range(count)):
        spoken = speak(text, Voice("en-us+m3", 200))
        wav = soxr.resample(spoken.samples.astype(np.float32) / 32768, spoken.sample_rate, SAMPLE_RATE)
        made.append((wav.astype(np.float32), text))
    return made


def bench_viterbi(args: argparse.Namespace) -> Figures:
    """The best paths of texts through random emissions: utterances of 2 to 20 s, and one of ten minutes."""
    rng, figures = np.random.default_rng(0), {}
    for name, seconds in {
        "short": rng.uniform(2, 20, 4 * args.utterances),
        "ten_minutes": np.array([600.0]),
    }.items():
        spent, _ = sides.race([sides.ours(our_paths, (seconds.tolist(),))], args.rounds, turns=1)
        figures[f"{name}_times_real_time"] = float(seconds.sum()) / min(spent["ours"])
    return figures


def our_paths(seconds: Sequence[float]) -> sides.Runs:
    """`align_batch`."""
    rng = np.random.default_rng(0)
    emissions = [
        np.log(rng.dirichlet(np.ones(CHARACTERS), round(length * FRAMES_A_SECOND)).astype(np.float32) + 1e-9)
        for length in seconds
    ]
    texts = [
        rng.integers(1, CHARACTERS, round(length * CHARACTERS_A_SECOND)).astype(np.int32)
        for length in seconds
    ]
    return sides.warmed(lambda: align_batch(emissions, texts, 0))


def bench_sphinx(args: argparse.Namespace) -> Figures:
    """pocketsphinx in two processes on sentences of espeak-ng, their start not included."""
    with tempfile.TemporaryDirectory() as folder:
        rows, seconds = [], 0.0
        for number, (wav, text) in enumerate(make_sentences(4 * args.utterances)):
            path = Path(folder) / f"{number:04d}.wav"
            audio.save(path, wav)
            rows.append({"id": path.stem, "audio": str(path), "text": text, "words": None})
            seconds += len(wav) / SAMPLE_RATE
        aligner = SphinxAligner(sides.THREADS)
        try:
            list(aligner.align(rows[:16]))
            (spent,), (outcomes,) = sides.best_of(args.rounds, lambda: list(aligner.align(rows)))
        finally:
            aligner.close()
    aligned = sum(not isinstance(outcome, ValueError) for outcome in outcomes)
    return {"times_real_time": seconds / spent, "utterances": len(rows), "aligned": aligned}


ROWS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "units": bench_units,
    "segment": bench_segment,
    "viterbi": bench_viterbi,
    "sphinx": bench_sphinx,
    "texts": bench_texts,
    "beam": bench_beam,
}


def main() -> None:
    """Runs the named rows, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(ROWS)
    parser.add_argument(
        "rows",
        nargs="*",
        choices=[*ROWS, []],
        default=[],
        metavar="ROW",
        help=f"any of {names}; all by default",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--utterances", type=int, default=48, help="of the corpora")
    args = parser.parse_args()
    results = {"date": time.strftime("%Y-%m-%d"), "threads": sides.THREADS}
    results["load_average"] = round(os.getloadavg()[0], 1)
    for name in args.rows or ROWS:
        results[name] = ROWS[name](args)
        figures = (f"{key} {value:.4g}" for key, value in results[name].items())
        print(name, *figures, sep="  ", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
