"""Trains phonetic units: streaming k-means over HuBERT features, so that memory does not grow with the corpus
(paper, section 3.1).

python -m data_prep fit-units --audio corpus/manifest.jsonl --hubert mhubert-base-25hz --out codec
"""

import argparse
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from spirit_jax.codec_training.fit_codec import draw_audio
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder
from spirit_jax.datasets.manifest import read_corpus
from spirit_jax.datasets.splits import split_rows
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.speech.encoders.hubert import Hubert, HubertUnits, extract_features, load_hubert
from spirit_jax.speech.quantizers.kmeans import nearest
from spirit_jax.speech.quantizers.linear import KmeansQuantizer
from spirit_jax.speech.quantizers.streaming_kmeans import StreamingKmeans
from spirit_jax.speech.segments import groups
from spirit_jax.tokens.streams import describe_streams

GROUP_SECONDS = 120  # audio encoded at a time
HELD_OUT_SECONDS = 300.0  # audio on which the centres are evaluated: our choice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument(
        "--hubert",
        type=Path,
        required=True,
        help="a Hugging Face HuBERT folder, or a fairseq checkpoint (.pt)",
    )
    parser.add_argument(
        "--layer", type=int, help="whose output is the feature, from 1 on; default: the last but one"
    )
    parser.add_argument("--units", type=int, default=500, help="phonetic codes")
    parser.add_argument("--max-hours", type=float, default=100.0, help="audio to train on, drawn at random")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for the codec, which encodes only until a vocoder is trained",
    )
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Trains, writes a codec of these units, and prints the held-out distance to the training mean, to the
    first centres and to the last.
    """
    if args.units < 2 or not args.max_hours > 0:
        raise UserError(
            "--units, --max-hours",
            (args.units, args.max_hours),
            "need at least 2 codes and some audio",
            "for example --units 500",
        )
    require_output_folder(args.out, "--out", "codec.json")
    train, held_out = split_rows(row for row in read_corpus(args.audio) if row["audio"])
    hubert = load_hubert(args.hubert, args.layer)
    random.Random(args.seed).shuffle(train)
    held_out_ND = _held_out_features(hubert, held_out)
    kmeans, sum_D = StreamingKmeans(args.units, args.seed), np.zeros(hubert.encoder.cfg.width)
    for x_ND in features(hubert, _wavs(train, args.max_hours * 3600, "train")):
        kmeans.add(x_ND)
        sum_D += x_ND.sum(axis=0, dtype=np.float64)
    centers_KD = kmeans.finish()
    codec = Codec((HubertUnits(hubert, KmeansQuantizer(centers_KD)),))
    save_codec(codec, args.out)
    mean, first, last = (
        distance(held_out_ND, c_KD)
        for c_KD in ((sum_D / kmeans.points)[None].astype(np.float32), kmeans.first_KD, centers_KD)
    )
    print(
        f"held-out distance {mean:.4f} to the mean, {first:.4f} to the first centres, {last:.4f} to the "
        f"last, after {kmeans.points:,} frames"
    )
    print(
        f"{args.out}: {describe_streams(codec.streams)}, {kmeans.restarts} restarted, "
        f"fingerprint {codec.fingerprint}"
    )
    return 0


def features(hubert: Hubert, wavs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Features [N, D] of about two minutes of sound at a time."""
    for group in groups(wavs, GROUP_SECONDS):
        yield np.concatenate(extract_features(hubert, group))


def _wavs(rows: list[dict], seconds: float, what: str) -> Iterator[np.ndarray]:
    return (wav for _, wav in draw_audio(rows, seconds, what))


def distance(x_ND: np.ndarray, centers_KD: np.ndarray) -> float:
    """Mean squared distance of points to their nearest centres."""
    return float(nearest(x_ND, centers_KD)[1].mean(dtype=np.float64))


def _held_out_features(hubert: Hubert, held_out: list[dict]) -> np.ndarray:
    """Features [N, D] of held-out sound. UserError if none of it can be used."""
    parts = [*features(hubert, _wavs(held_out, HELD_OUT_SECONDS, "held out"))]
    if not sum(map(len, parts)):
        raise UserError(
            "corpus",
            f"{len(held_out)} held-out recordings",
            "of which none can be used",
            "give more recordings",
        )
    return np.concatenate(parts)
