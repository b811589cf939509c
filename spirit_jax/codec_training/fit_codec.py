"""Trains the embedded speech codec (`spirit_jax.speech.codec`) on a corpus' training audio.

python -m data_prep fit-codec --audio corpus/manifest.jsonl --out codec
"""

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_place
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.manifest import TRAINING_SPLITS, read_corpus
from spirit_jax.speech import audio
from spirit_jax.speech.embedded_codec import EmbeddedCodec
from spirit_jax.speech.segments import PIECE_SECONDS
from spirit_jax.tokens.streams import SAMPLE_RATE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the codec")
    parser.add_argument("--units", type=int, default=100, help="phonetic codes")
    parser.add_argument("--expressive", action="store_true", help="pitch and style codes as well")
    parser.add_argument("--max-hours", type=float, default=1.0, help="audio to train on, drawn at random")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Trains and writes the codec, and prints its sizes and fingerprint."""
    if args.units < 2 or args.max_hours <= 0:
        raise UserError(
            "--units, --max-hours",
            (args.units, args.max_hours),
            "need at least 2 codes and some audio",
            "for example --units 100",
        )
    require_place(args.out, "--out", "codec.json")
    rows = [row for row in read_corpus(args.audio) if row["audio"] and row["split"] in TRAINING_SPLITS]
    if not rows:
        raise UserError(
            "corpus",
            args.audio,
            f"has no recordings in the splits {', '.join(TRAINING_SPLITS)}",
            "give training audio",
        )
    random.Random(args.seed).shuffle(rows)
    codec = EmbeddedCodec.train(
        draw_audio(rows, args.max_hours * 3600), args.units, args.expressive, args.seed
    )
    codec.save(args.out)
    print(
        f"{args.out}: {codec.unit_count} units, {codec.pitch_count} pitches, {codec.style_count} styles, "
        f"fingerprint {codec.fingerprint}"
    )
    return 0


def draw_audio(rows: list[dict], seconds: float, what: str = "fit-codec") -> Iterator[np.ndarray]:
    """Wavs of `rows` in order until there are `seconds` of them, each cut at the codec's piece length; bad
    ones are told and passed over.
    """
    heard = 0.0
    with Progress(what, len(rows), "recordings") as progress:
        for row in rows:
            if heard >= seconds:
                return
            try:
                wav = audio.load(row["audio"], max_seconds=PIECE_SECONDS, corpus=True)
            except audio.BadAudio as error:
                print(f"warning: {row['audio']} is left out: {error}", file=sys.stderr)
                continue
            heard += len(wav) / SAMPLE_RATE
            progress.advance(1, f"{heard:.0f} s of sound")
            yield wav
