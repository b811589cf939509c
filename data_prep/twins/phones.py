"""The twin of ABX: an item file of phones between the same neighbours, and the recordings that have them."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.espeak import Spoken, Voice, speak
from data_prep.speakers import ESPEAK
from spirit_jax.core.files import write_text
from spirit_jax.core.progress import track
from spirit_jax.speech import audio

# words a minute and height of the voice; sentences take turns, so that no two phones are the same sound
WAYS = tuple(itertools.product((170, 200, 230), (42, 50, 58)))
HEADER = "#file onset offset #phone prev-phone next-phone speaker"


def write_phones(folder: Path, sentences: Sequence[Sequence[str]]) -> None:
    """Each sentence by each voice. A stretch is a phone with both neighbours, as in ZeroSpeech's files of
    triphones.
    """
    lines = [HEADER]
    for number, (words, way) in enumerate(zip(track(sentences, "abx"), itertools.cycle(WAYS))):
        for place, voice in enumerate(ESPEAK.training):
            name, spoken = f"{place}_{number}", speak(" ".join(words), Voice(voice, *way))
            audio.save(folder / f"{name}.wav", spoken.wav)
            lines += [f"{name} {line} {voice}" for line in _triphones(spoken)]
    write_text(folder / "triphone-dev.item", "\n".join(lines) + "\n")


def _triphones(spoken: Spoken) -> Iterator[str]:
    """Begin, end, phone, and the phones before and after it, of each phone without a pause beside it."""
    for before, phone, after in zip(spoken.phones, spoken.phones[1:], spoken.phones[2:]):
        names = [one[0] for one in (phone, before, after)]
        if not any(name.startswith("_") for name in names):
            yield f"{before[1]:.4f} {after[2]:.4f} {' '.join(names)}"
