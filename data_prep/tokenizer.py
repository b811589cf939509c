"""Trains a SentencePiece text tokenizer on the training texts of a corpus.

python -m data_prep tokenizer --texts corpus/manifest.jsonl --size 500 --out tokenizer
"""

import argparse
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder
from spirit_jax.core.stored_files import format_suffix
from spirit_jax.datasets.manifest import read_corpus, training_texts
from spirit_jax.tokens.text import SENTENCEPIECE_NAME, train_tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--texts",
        type=Path,
        required=True,
        help="manifest, folder of transcribed recordings, or .txt",
    )
    parser.add_argument(
        "--size", type=int, default=500, help="pieces; 259 are the bytes, BOS, EOS and unknown"
    )
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {SENTENCEPIECE_NAME}")


def run(args: argparse.Namespace) -> int:
    """Trains and writes the tokenizer; prints its size and fingerprint."""
    require_output_folder(args.out, "--out")
    texts = list(training_texts(read_corpus(args.texts, lines=format_suffix(args.texts) == ".txt")))
    if not texts:
        raise UserError(
            "texts", args.texts, "have no row with text outside held-out splits", "give transcripts or texts"
        )
    tokenizer = train_tokenizer(texts, args.size, args.out / SENTENCEPIECE_NAME)
    print(
        f"{args.out}/{SENTENCEPIECE_NAME}: {tokenizer.size} pieces from {len(texts)} texts, "
        f"fingerprint {tokenizer.fingerprint}"
    )
    return 0
