"""`python -m spirit_jax decode`: codes or token strings to wavs.

    python -m spirit_jax decode codes.jsonl --codec codec --out spoken
    python -m spirit_jax decode --tokens "[Hu3][Hu17][Hu5]" --codec codec --out spoken

A file holds what `encode` printed. Its codes keep their durations, except with a vocoder that takes units
alone and predicts them. A token string has no durations, and the codec predicts them.
"""

import argparse
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl, require_output_folder
from spirit_jax.speech.codec import Speech
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.commands.sound_files import print_line, require_units, speak, wav_names
from spirit_jax.tokens.streams import SpeechTokens

ABOUT = {"audio", "seconds", "tokens"}  # keys of a line of `encode` that are not streams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="JSON lines as `encode` prints them")
    parser.add_argument(
        "--tokens",
        nargs="+",
        default=[],
        metavar="STRING",
        help='token strings such as "[Hu3][Hu17]", each an utterance',
    )
    parser.add_argument("--codec", required=True, help="codec folder, of any kind")
    parser.add_argument("--out", type=Path, required=True, help="folder for the wavs")
    add_voice(parser)


def add_voice(parser: argparse.ArgumentParser) -> None:
    """Adds the options for speaker and style."""
    parser.add_argument("--speaker", type=int, help="of a vocoder that has several voices; default: 2")
    parser.add_argument("--style", type=int, help="style id of a vocoder that has several; default: 8")


def run(args: argparse.Namespace) -> int:
    """Prints a JSON line for each utterance: {"wav", "seconds"}, or {"audio", "error", "detail"}.

    Lines of files that could not be encoded are skipped.
    """
    rows = [(row, path) for path in args.files for row in read_jsonl(path) if "error" not in row]
    named: list[tuple[str, Speech]] = [("tokens", string.strip()) for string in args.tokens]
    named += [_read_row(row, path) for row, path in rows]
    if not named:
        fix = 'give a FILE with codes that encode printed, or --tokens "[Hu3]..."'
        raise UserError("utterances", "none", "need at least one", fix)
    require_output_folder(args.out, "--out")
    codec = load_codec(args.codec)
    codec.check_voice(args.speaker, args.style)
    for _, speech in named[: len(args.tokens)]:
        require_units(codec, speech)
    for name, (stem, speech) in zip(wav_names([stem for stem, _ in named]), named):
        line = speak(codec, speech, args, name)
        print_line({"audio": stem, **line} if "error" in line else line)
    return 0


def _read_row(row: dict, path: str) -> tuple[str, SpeechTokens]:
    """The stem of the recording's name, and its codes: every key that `encode` writes for a stream."""
    try:
        stem = Path(row["audio"]).stem
        if stem.strip(".") == "" or "\0" in stem:
            raise ValueError("no file can be named so")
        if row["units"] is None:
            raise TypeError("units are null")
        codes = {key: row[key] for key in row.keys() - ABOUT if row[key] is not None}
        return stem, SpeechTokens(codes)
    except (KeyError, TypeError, ValueError) as error:
        rule = f"must hold audio and units ({error})"
        raise UserError(f"{path} line", str(row)[:60], rule, "pass what `encode` printed") from error
