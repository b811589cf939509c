"""VCTK: recordings `wav48*/SPEAKER/ID.wav`, or `ID_mic1.flac` of several microphones, and texts
`txt/SPEAKER/ID.txt`.

The first microphone is read; the others have the same speech.
"""

import collections
import re
from collections.abc import Iterator
from pathlib import Path

from spirit_jax.datasets.corpora.given import Given, missing_partner
from spirit_jax.datasets.corpora.tables import read_transcript
from spirit_jax.datasets.corpus import BadRow
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, files_below

MICROPHONE = re.compile(r"_mic(\d+)$")


def is_vctk(folder: Path) -> bool:
    """Whether folders of the same speakers are below `txt` and below a folder of recordings."""
    speakers = {path.name for path in folder.glob("txt/*") if path.is_dir()}
    return any(path.name in speakers for path in folder.glob("wav*/*"))


def read_vctk(folder: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The recordings, then the texts that have none."""
    texts = {(path.parent.name, path.stem): path for path in folder.glob("txt/*/*.txt")}
    used = set()
    for path in files_below(folder):
        name = path.relative_to(folder)
        if path.suffix.lower() not in AUDIO_SUFFIXES or not name.parts[0].startswith("wav"):
            continue
        microphone = MICROPHONE.search(path.stem)
        if microphone and microphone[1] != "1":
            continue  # counted as named by no row
        key = path.parent.name, MICROPHONE.sub("", path.stem)
        used.add(key)
        text = read_transcript(texts[key]) if key in texts else None
        row = {"audio": str(name), "text": text, "voice": path.parent.name}
        id = str(name.with_suffix(""))
        bad = isinstance(text, BadRow)
        yield Given(text, None, str(path), id, str(name)) if bad else Given(row, None, str(path), id)
    for speaker, id in texts.keys() - used:
        where = f"{folder / 'txt'} text"
        yield Given(missing_partner(where, f"{speaker}/{id}", "has no recording"), None, where, id)
