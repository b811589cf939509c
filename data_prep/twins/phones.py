"""The twin of ABX: an item file of phones between the same neighbours, and the recordings that have them."""

import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.twins.cast import Cast, Timed
from spirit_jax.core.files import write_text
from spirit_jax.core.progress import track
from spirit_jax.speech import audio

HEADER = "#file onset offset #phone prev-phone next-phone speaker"


def write_phones(folder: Path, sentences: Sequence[Sequence[str]], cast: Cast) -> None:
    """Each sentence by each speaker whose phones are found in it. A stretch is a phone with both neighbours,
    as in ZeroSpeech's files of triphones.
    """
    lines, lost = [HEADER], 0
    for number, (words, way) in enumerate(zip(track(sentences, "abx"), itertools.cycle(cast.ways))):
        for place, (speaker, voice) in enumerate(cast.speakers.items()):
            name = f"{place}_{number}"
            if spoken := cast.speak_timed(" ".join(words), dataclasses.replace(voice, **way)):
                audio.save(folder / f"{name}.wav", spoken.wav)
                lines += [f"{name} {line} {speaker}" for line in _triphones(spoken)]
            else:
                lost += 1
    if lost:
        print(f"warning: abx lacks {lost} recordings, whose phones are not found", file=sys.stderr)
    write_text(folder / "triphone-dev.item", "\n".join(lines) + "\n")


def _triphones(spoken: Timed) -> Iterator[str]:
    """Begin, end, phone, and the phones before and after it, of each phone without a pause beside it."""
    for before, phone, after in zip(spoken.phones, spoken.phones[1:], spoken.phones[2:]):
        names = [one[0] for one in (phone, before, after)]
        if not any(name.startswith("_") for name in names):
            yield f"{before[1]:.4f} {after[2]:.4f} {' '.join(names)}"
