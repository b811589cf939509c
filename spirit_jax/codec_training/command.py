"""`python -m spirit_jax train-codec`: trains a part of a codec and writes the codec that contains it. The
same command resumes a stopped run.

python -m spirit_jax train-codec vocoder --config tpu_configs/codecs/vocoder_cpu.py \
    --out runs/vocoder --set corpus.units=units corpus.codec=codec
"""

import argparse
import sys
from pathlib import Path

from spirit_jax.codec_training.config import MelNetworkRun, PitchRun, StyleRun, VocoderRun
from spirit_jax.codec_training.loop import check, train
from spirit_jax.codec_training.mel_network import MelNetworkTraining
from spirit_jax.codec_training.pitch import PitchTraining
from spirit_jax.codec_training.style import StyleTraining
from spirit_jax.codec_training.vocoder import VocoderTraining
from spirit_jax.core.settings import load, override

TRAININGS = {
    "vocoder": (VocoderRun, VocoderTraining),
    "mel": (MelNetworkRun, MelNetworkTraining),
    "pitch": (PitchRun, PitchTraining),
    "style": (StyleRun, StyleTraining),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("part", choices=TRAININGS, help="what to train")
    parser.add_argument("--config", required=True, help="a recipe (.py with config()) or a config.json")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="run folder; an unfinished run in it is resumed; the codec is written to OUT/codec",
    )
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="changes to the config: corpus.codec=codec",
    )


def run(args: argparse.Namespace) -> int:
    """Checks and trains. Returns 0 also if SIGTERM stopped it after a checkpoint."""
    kind, training = TRAININGS[args.part]
    chosen = override(load(args.config, kind), args.set)
    check(chosen, args.out)
    reached = train(training(chosen), args.out)
    if reached < chosen.train.steps:
        print(
            f"stopped at step {reached:,} of {chosen.train.steps:,}; the same command resumes it: {args.out}",
            file=sys.stderr,
        )
    else:
        print(f"{args.out / 'codec'}: the codec with this part, after {reached:,} steps")
    return 0
