"""`python -m spirit_jax encode`: sound files to codes and token strings.

python -m spirit_jax encode a.wav b.flac --codec codec > codes.jsonl
"""

import argparse

from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.commands.sound_files import describe, hear, print_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="wav, flac, mp3, ogg or opus, at any rate, with any number of channels",
    )
    parser.add_argument("--codec", required=True, help="codec folder, of any kind")


def run(args: argparse.Namespace) -> int:
    """Prints a JSON line for each file: {"audio", "seconds", a list for each stream, "tokens"}, or {"audio",
    "error", "detail"}.
    """
    codec = load_codec(args.codec)
    for heard in hear(codec, args.files):
        codes = {} if heard.speech is None else describe(heard.speech, codec.streams)
        print_line({**heard.about, **codes})
    return 0
