"""`python -m spirit_jax decode`: codes or token strings to wavs.

    python -m spirit_jax decode codes.jsonl --codec codec --out spoken
    python -m spirit_jax decode --tokens "[Hu3][Hu17][Hu5]" --codec codec --out spoken

A file holds what `encode` printed. Its codes keep their durations, but for a vocoder that hears units alone
and predicts them; a token string has none, and the codec predicts how long each unit lasts.
"""

import argparse
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl, require_place
from spirit_jax.speech.codec import Codec, load_codec
from spirit_jax.speech.codes import read_codes
from spirit_jax.speech.commands.sound_files import print_line, speak, wav_names
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits
from spirit_jax.tokens.strings import parse


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
    """Adds the options of who speaks, and how."""
    parser.add_argument("--speaker", type=int, help="of a vocoder that has several voices; default: 2")
    parser.add_argument("--style", type=int, help="style id of a vocoder that has several; default: 8")


def run(args: argparse.Namespace) -> int:
    """Prints a JSON line an utterance: {"wav", "seconds"}, or {"audio", "error", "detail"} and goes on. Lines
    that say why a file has no codes are passed over.
    """
    named = [("tokens", parse(string.strip())) for string in args.tokens]
    named += [_read_row(row, path) for path in args.files for row in read_jsonl(path) if "error" not in row]
    if not named:
        raise UserError(
            "utterances",
            "none",
            "need at least one",
            'give a FILE with codes that encode printed, or --tokens "[Hu3]..."',
        )
    require_place(args.out, "--out")
    codec = load_codec(args.codec)
    codec.check_voice(args.speaker, args.style)
    _check(codec, [speech for _, speech in named])
    for name, (stem, speech) in zip(wav_names([stem for stem, _ in named]), named):
        said = speak(codec, speech, args, name)
        print_line({"audio": stem, **said} if "error" in said else said)
    return 0


def _read_row(row: dict, path: str) -> tuple[str, SpeechTokens]:
    """The stem of the recording's name, and its codes."""
    try:
        stem = Path(row["audio"]).stem
        if stem.strip(".") == "" or "\0" in stem:
            raise ValueError("no file can be named so")
        if row["units"] is None:
            raise TypeError("units are null")
        return stem, SpeechTokens(row["units"], row.get("pitch"), row.get("style"))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} line",
            str(row)[:60],
            f"must hold audio and units ({error})",
            "pass what `encode` printed",
        ) from error


def _check(codec: Codec, speeches: list[SpeechTokens | SpokenUnits]) -> None:
    """Before anything is written."""
    for speech in speeches:
        read_codes(speech, codec.unit_count, codec.pitch_count, codec.style_count)
        if not len(speech.units):
            raise UserError("utterance", "no units", "has nothing to be spoken", "give at least one [Hu..]")
