"""Expresso: `audio_48khz`, `read_transcriptions.txt` with lines `ID`, tab, `TEXT`, and lists in `splits`.

read/SPEAKER/STYLE/.../ID.wav                          read aloud
conversational/A-B/STYLE/A-B_..._NUMBER.wav            A on the first channel, B on the second; without text.
                                                       STYLE may be two, `animal-animaldir`, A's and B's

A line of `splits/train.txt`, `dev.txt` or `test.txt` is an ID, and for a part of a recording two times in
seconds. Where a channel is named before them, as `channel1`, only it is meant. What no list names is trained
on.
"""

import collections
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spirit_jax.datasets.corpora.given import Given, held_out_split, missing_partner
from spirit_jax.datasets.corpora.tables import table_lines
from spirit_jax.datasets.corpus import BadRow
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, files_below

TEXTS, SOUND, SPLITS = "read_transcriptions.txt", "audio_48khz", "splits"
TIME = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
CHANNEL = re.compile(r"channel_?(\d)")


def is_expresso(folder: Path) -> bool:
    """Whether a folder has the transcripts and the recordings."""
    return (folder / TEXTS).is_file() and (folder / SOUND).is_dir()


class _Listed(NamedTuple):
    """What a list says of a recording. channel: 0 for the first, None for both."""

    split: str | None
    part: dict[str, float]
    channel: int | None


def read_expresso(folder: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The recordings, then the texts that have none."""
    texts: dict[str, str] = {}
    for line, fields in table_lines(folder / TEXTS, 2):
        if isinstance(fields, BadRow):
            yield Given(fields, line, f"{folder / TEXTS} line {line}")
        else:
            texts[fields[0]] = fields[1]
    listed, used = _read_lists(folder / SPLITS), set()
    for path in files_below(folder / SOUND):
        name = path.relative_to(folder / SOUND)
        if path.suffix.lower() not in AUDIO_SUFFIXES or len(name.parts) < 4:
            continue
        kind, speakers, styles = name.parts[:3]
        used.add(path.stem)
        for said in listed.get(path.stem) or [_Listed(None, {}, None)]:
            row = {"audio": f"{SOUND}/{name.as_posix()}", "split": said.split, **said.part}
            if kind == "conversational":
                rows = _rows_of_channels(row, path.stem, speakers, styles, said.channel)
            else:
                id = None if said.part else path.stem
                rows = [{"id": id, "voice": speakers, "speaking_style": styles, "text": texts.get(path.stem)}]
            yield from (Given({**row, **own}, None, str(path)) for own in rows)
    for id in texts.keys() - used:
        where = f"{folder / TEXTS} text"
        yield Given(missing_partner(where, id, "has no recording"), None, where, id)


def _rows_of_channels(row: dict, id: str, speakers: str, styles: str, only: int | None) -> list[dict]:
    """The utterances of the two speakers, or of one channel."""
    voices, said = speakers.split("-"), styles.split("-")
    part = f"-{row['start']:g}" if "start" in row else ""
    return [
        {
            "id": f"{id}-{voice}{part}",
            "channel": channel,
            "voice": voice,
            "speaking_style": said[channel] if len(said) == len(voices) else styles,
        }
        for channel, voice in enumerate(voices)
        if only in (None, channel)
    ]


def _read_lists(folder: Path) -> dict[str, list[_Listed]]:
    """The entries of each recording."""
    found: dict[str, list[_Listed]] = collections.defaultdict(list)
    for path in sorted(folder.glob("*.txt")):
        for _, fields in table_lines(path, 2):
            if isinstance(fields, BadRow):
                continue
            channel = CHANNEL.search(" ".join(fields))
            times = [float(time) for time in TIME.findall(fields[1])]
            part = dict(zip(("start", "end"), times)) if len(times) >= 2 else {}
            number = int(channel[1]) - 1 if channel else None
            name = Path(fields[0].split("/channel")[0])
            id = name.stem if name.suffix.lower() in AUDIO_SUFFIXES else name.name
            found[id].append(_Listed(held_out_split(path.stem), part, number))
    return found
