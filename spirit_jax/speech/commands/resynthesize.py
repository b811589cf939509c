"""`python -m spirit_jax resynthesize`: sound files through a codec and back.

python -m spirit_jax resynthesize a.wav b.flac --codec codec --out resynthesized
"""

import argparse
from pathlib import Path

from spirit_jax.core.files import require_output_folder
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.commands import encode
from spirit_jax.speech.commands.decode import add_voice
from spirit_jax.speech.commands.sound_files import hear, print_line, speak, wav_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    encode.add_arguments(parser)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the wavs, each named like its file"
    )
    add_voice(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a JSON line for each file: {"audio", "wav", "seconds"}, or {"audio", "error", "detail"}."""
    require_output_folder(args.out, "--out")
    codec = load_codec(args.codec)
    codec.check_voice(args.speaker, args.style)
    for name, heard in zip(wav_names([Path(path).stem for path in args.files]), hear(codec, args.files)):
        print_line(
            heard.about
            if heard.speech is None
            else {"audio": heard.path, **speak(codec, heard.speech, args, name)}
        )
    return 0
