"""Trains the weight-free codec on a corpus' training audio: MFCC units, a mel codebook, pitch and style
codes.

python -m data_prep fit-codec --audio corpus/manifest.jsonl --out codec
python -m data_prep fit-codec --audio aligned/manifest.jsonl --words --out codec
"""

import argparse
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.manifest import part_of, read_corpus
from spirit_jax.datasets.sentences import normalize_sentence
from spirit_jax.datasets.splits import TRAINING_SPLITS
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.speech.decoders.mel_codebook import fit_mel_codebook, make_mel_codebook
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.speech.encoders.mfcc_units import fit_mfcc_units, fit_word_units
from spirit_jax.speech.encoders.pitch.contour import fit_contour_pitch
from spirit_jax.speech.encoders.style.pooled import fit_pooled_style
from spirit_jax.speech.encoders.word_classes import TimedWords
from spirit_jax.speech.segments import SEGMENT_SECONDS, groups
from spirit_jax.tokens.streams import SAMPLE_RATE, describe_streams

PITCHES = 64  # as in the paper
STYLES = 32  # our choice: the features do not separate more, and each code costs language model training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the codec")
    parser.add_argument("--units", type=int, default=100, help="phonetic codes")
    parser.add_argument(
        "--words",
        action="store_true",
        help="units that tell words apart, whoever says them; of recordings with word times alone",
    )
    parser.add_argument(
        "--expressive",
        nargs="*",
        type=int,
        metavar=("PITCH", "STYLE"),
        help=f"pitch and style codes as well; their numbers, by default {PITCHES} {STYLES}",
    )
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
    if len(args.expressive or ()) not in (0, 2) or min(args.expressive or [2]) < 2:
        rule = "needs two numbers, of pitch and of style codes, each at least 2, or none"
        raise UserError("--expressive", args.expressive, rule, f"--expressive {PITCHES} {STYLES}")
    require_output_folder(args.out, "--out", "codec.json")
    rows = [row for row in read_corpus(args.audio) if row["audio"] and row["split"] in TRAINING_SPLITS]
    if not rows:
        raise UserError(
            "corpus",
            args.audio,
            f"has no recordings in the splits {', '.join(TRAINING_SPLITS)}",
            "give training audio",
        )
    if args.words:
        rows = [row for row in rows if row["words"]]
        if not rows:
            fix = "align it (make align), or leave --words out"
            raise UserError("corpus", args.audio, "has no training recordings with word times", fix)
    random.Random(args.seed).shuffle(rows)
    drawn = list(draw_audio(rows, args.max_hours * 3600))
    words = [_bare_words(row["words"]) for row, _ in drawn] if args.words else None
    codec = fit_codec(
        [wav for _, wav in drawn],
        args.units,
        args.expressive is not None,
        args.seed,
        words,
        *(args.expressive or ()),
    )
    save_codec(codec, args.out)
    print(f"{args.out}: {describe_streams(codec.streams)}, fingerprint {codec.fingerprint}")
    return 0


def _bare_words(words: Sequence) -> list[tuple[str, float, float]]:
    return [(normalize_sentence(word), start, end) for word, start, end in words]


def fit_codec(
    wavs: Iterable[np.ndarray],
    units: int,
    expressive: bool,
    seed: int,
    words: Sequence[TimedWords] | None = None,
    pitches: int = PITCHES,
    styles: int = STYLES,
) -> Codec:
    """The codec of these wavs, float32 [samples] at 16 kHz; the same for the same wavs and seed.

    words: of each wav; with them the units are those of `fit_word_units`. pitches, styles: codes. Uses a GB
    of memory per hour of sound. UserError if there is less audio than codes, or too few words.
    """
    samples, mels, f0s = [], [], []
    for group in groups(wavs):
        samples += map(len, group)
        mels += mfcc.log_mel(group)
        f0s += track_f0(group)
    if not mels:
        raise UserError("codec training audio", "none", "must be given to train the codes", "give more audio")
    if words is None:
        unit_encoder = fit_mfcc_units(mels, units, seed)
    else:
        unit_encoder = fit_word_units(mels, words, units, seed)
    codes, warps = unit_encoder.quantize(mels)
    straight = [mel_FM @ mfcc.warp_matrix(warp) for mel_FM, warp in zip(mels, warps)]
    arrays = fit_mel_codebook(straight, f0s, codes, units)
    if not expressive:
        return Codec((unit_encoder,), make_mel_codebook(arrays))
    pitch = fit_contour_pitch(f0s, samples, pitches, seed)
    style = fit_pooled_style(mels, f0s, styles, seed)
    table = style.pooled_style
    arrays["pitch_octaves"] = pitch.contour_pitch["octaves"]
    arrays["style_features"] = table["centroids"] * table["scale"] + table["mean"]
    return Codec((unit_encoder, pitch, style), make_mel_codebook(arrays))


def draw_audio(
    rows: list[dict], seconds: float, what: str = "fit-codec"
) -> Iterator[tuple[dict, np.ndarray]]:
    """`rows` in order with their wavs until there are `seconds` of them, each at most one segment long.

    Recordings that cannot be used are skipped with a warning. what: label of the progress line.
    """
    heard = 0.0
    with Progress(what, len(rows), "recordings") as progress:
        for row in rows:
            if heard >= seconds:
                return
            try:
                wav = audio.load(row["audio"], SEGMENT_SECONDS, corpus=True, part=part_of(row))
            except audio.BadAudio as error:
                print(f"warning: {row['audio']} is left out: {error}", file=sys.stderr)
                continue
            heard += len(wav) / SAMPLE_RATE
            progress.advance(1, f"{heard:.0f} s of sound")
            yield row, wav
