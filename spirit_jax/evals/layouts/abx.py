"""ABX data sets: item files in ZeroSpeech's format, and the recordings beside them."""

import collections
import dataclasses
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.evals.layouts.trials import Place, Sound, require_usable

COLUMNS = 7  # file, onset, offset, phone, phone before, phone after, speaker
EXTENSIONS = (".wav", ".flac")
PLACE = Place(
    ("abx", "abxLS-dataset", "phonetic"),
    "abx/**/*{split}*.item with lines of file, onset, offset, phone, the phones before and after, speaker; "
    "the recordings file.wav or file.flac beside it or in the folder of its name",
    "https://download.zerospeech.com (pip install zerospeech-benchmarks; zrc datasets:pull abxLS-dataset)",
)


@dataclasses.dataclass(frozen=True)
class Realisation:
    """A stretch of a recording in which a speaker says a phone between two others.

    part: the item file's name; realisations of two are never compared. start_s, end_s: in the recording.
    fault: why it is set aside, in a word; "" if it counts. detail: the same for people.
    """

    part: str
    sound: Sound
    start_s: float = 0.0
    end_s: float = 0.0
    phone: str = ""
    context: tuple[str, str] = ("", "")
    speaker: str = ""
    fault: str = ""
    detail: str = ""


def read_realisations(root: Path, split: str) -> list[Realisation]:
    """All lines of the split's item files, also those that are set aside. UserError if none counts."""
    folder = PLACE.find(root)
    files = [path for path in sorted(folder.rglob("*.item")) if split in path.stem]
    if not files:
        raise PLACE.missing(folder, f"no item file with {split} in its name")
    found = _mark_duplicates([one for path in files for one in _read_file(path)])
    return require_usable(found, PLACE, folder, ())


def fingerprint_of(found: list[Realisation]) -> str:
    """Names what is compared: stretches, phones, speakers and faults, names and sizes of sound files."""
    sizes = {one.sound: one.sound.size for one in found}
    lines = [
        f"{one.part} {one.sound.name} {sizes[one.sound]} {one.start_s} {one.end_s} {one.phone} {one.context} "
        f"{one.speaker} {one.fault}"
        for one in found
    ]
    return fingerprint(*(line.encode() for line in lines))


def _read_file(path: Path) -> list[Realisation]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError("item file", path, f"must be UTF-8 ({error})", "use the file as published") from error
    sounds: dict[str, Sound] = {}
    return [
        _read_line(path, number, line.split(), sounds)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]


def _read_line(path: Path, number: int, words: list[str], sounds: dict[str, Sound]) -> Realisation:
    try:
        name, start, end, phone, before, after, speaker = words
        start_s, end_s = float(start), float(end)
        if not 0 <= start_s < end_s < float("inf"):
            raise ValueError(f"{start} to {end} is no stretch of time")
    except ValueError as error:
        return Realisation(path.stem, Sound(path, ""), fault="bad_row", detail=f"line {number}: {error}")
    if name not in sounds:
        sounds[name] = _find_sound(path, name)
    sound = sounds[name]
    one = Realisation(path.stem, sound, start_s, end_s, phone, (before, after), speaker)
    if sound.path.is_file():
        return one
    return dataclasses.replace(one, fault="no_recording", detail=f"line {number}: no {sound.path}")


def _find_sound(path: Path, name: str) -> Sound:
    """The recording beside the item file, or in the folder that has the item file's name."""
    places = [
        folder / f"{name}{end}" for folder in (path.parent, path.parent / path.stem) for end in EXTENSIONS
    ]
    return Sound(next((place for place in places if place.is_file()), places[0]), name)


def _mark_duplicates(found: list[Realisation]) -> list[Realisation]:
    times: collections.Counter[Realisation] = collections.Counter()
    marked = []
    for one in found:
        times[one] += not one.fault
        detail = f"{one.sound.name} {one.start_s} {one.end_s} {one.phone}"
        repeated = times[one] > 1
        marked.append(dataclasses.replace(one, fault="duplicate_row", detail=detail) if repeated else one)
    return marked
