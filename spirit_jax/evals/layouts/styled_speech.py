"""Expresso: recordings with a style, and a text where they were read."""

import dataclasses
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.evals.layouts.trials import Place, Sound, sound_of

PLACE = Place(
    ("expresso", "Expresso"),
    "expresso/ with audio_48khz/read/SPEAKER/STYLE/, read_transcriptions.txt and splits/{dev,test}.txt",
    "https://speechbot.github.io/expresso",
)


@dataclasses.dataclass(frozen=True)
class Styled:
    """A recording of one voice. text: "" where it is not known. style: its folder's name.

    fault: why it is set aside, in a word; "" if it counts. detail: the same for people.
    """

    id: str
    sound: Sound
    text: str = ""
    style: str = ""
    fault: str = ""
    detail: str = ""


def read_styled(root: Path, split: str) -> list[Styled]:
    """The whole recordings of a split, in order, also those that are set aside. UserError if none counts.

    Parts of recordings and dialogues are left out (our choice: the paper does not say what it measured).
    """
    folder = PLACE.find(root)
    try:
        corpus = open_corpus(folder)
    except UserError as error:
        raise PLACE.missing(folder, error.rule) from error
    found = [
        Styled(row["id"], sound_of(row), row["text"] or "", row.get("speaking_style") or "")
        for row in corpus.recordings
        if row["audio"] and row["split"] == split and "offset" not in row and row.get("channel") is None
    ]
    if not found:
        raise PLACE.missing(folder, f"no whole recordings of the split {split}")
    found += [
        Styled(row["id"], sound_of(row), "", "", row["reason"], row["detail"]) for row in corpus.set_aside
    ]
    return found


def fingerprint_of(recordings: list[Styled]) -> str:
    """Names what is resynthesised: ids, styles, texts and faults, names and sizes of sound files."""
    lines = [f"{one.id} {one.style} {one.fault} {one.sound.size} {one.text}" for one in recordings]
    return fingerprint(*(line.encode() for line in lines))
