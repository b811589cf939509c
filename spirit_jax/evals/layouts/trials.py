"""What a data set of choices asks: trials, each with one right candidate, and the folder that they are in."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, require_folder
from spirit_jax.core.sound_part import Part
from spirit_jax.datasets.manifest import part_of


@dataclasses.dataclass(frozen=True)
class Sound:
    """A recording: a file, or with `row` and `column` a cell of a parquet file. name: within its data set.

    part: which part of it; None for the whole.
    """

    path: Path
    name: str
    row: int | None = None
    column: str = ""
    part: Part | None = None

    @property
    def size(self) -> int:
        """Bytes of the file, -1 if there is none."""
        return self.path.stat().st_size if self.path.is_file() else -1


Said = str | Sound  # a text, or a recording


def sound_of(row: Mapping[str, Any]) -> Sound:
    """The recording of a corpus's row."""
    return Sound(Path(row["audio"] or ""), row["id"], part=part_of(row))


@dataclasses.dataclass(frozen=True)
class Trial:
    """One comparison: which candidate follows the context? An item has one trial or several, such as one for
    each voice.

    candidates: the right one first. labels: groups that it belongs to, for accuracies of their own.
    fault: why it is set aside, in a word; "" if it counts. detail: the same for people.
    """

    item: str
    candidates: tuple[Said, ...] = ()
    context: tuple[Said, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fault: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a data set is below the user's folder.

    folders: below it, the first that exists is used. shape: the files that must be there, for people.
    source: where to get them.
    """

    folders: tuple[str, ...]
    shape: str
    source: str

    def find(self, root: Path) -> Path:
        """The data set's folder. UserError that names what is missing, its layout and where to get it."""
        require_folder(root, "--data")
        for folder in self.folders:
            if (root / folder).is_dir():
                return root / folder
        raise self.missing(root, f"no folder {' or '.join(self.folders)}")

    def missing(self, folder: Path, what: str) -> UserError:
        """The error about a data set that is incomplete."""
        return UserError("data", folder, f"{what}; the layout is {self.shape}", f"get it from {self.source}")


class Checked(Protocol):
    """A row of a data set. fault: why it is set aside, in a word; "" if it counts. detail: the same for
    people.
    """

    @property
    def fault(self) -> str:
        """A word."""
        ...

    @property
    def detail(self) -> str:
        """A sentence."""
        ...


Row = TypeVar("Row", bound=Checked)


class Layout(Protocol):
    """Reads one data set as trials."""

    @property
    def place(self) -> Place:
        """Where its files are."""
        ...

    @property
    def needs_speech(self) -> bool:
        """Whether it has recordings."""
        ...

    @property
    def has_splits(self) -> bool:
        """Whether `split` makes a difference."""
        ...

    def read(self, root: Path, split: str) -> list[Trial]:
        """All trials in a fixed order; those that cannot be asked have a fault. UserError without any."""
        ...


def sounds_of(trials: Sequence[Trial]) -> list[Sound]:
    """Every recording of the trials once, in order."""
    said = itertools.chain.from_iterable((*trial.context, *trial.candidates) for trial in trials)
    return list(dict.fromkeys(one for one in said if isinstance(one, Sound)))


def require_usable(found: list[Row], place: Place, folder: Path, sounds: Sequence[Sound]) -> list[Row]:
    """What was found. UserError if all of it has a fault, or none of its recordings exists."""
    if all(one.fault for one in found):
        first = f", the first: {found[0].fault} ({found[0].detail})" if found else ""
        raise place.missing(folder, f"nothing to ask, {len(found)} set aside{first}")
    if sounds and not any(sound.path.is_file() for sound in sounds):
        raise place.missing(folder, f"none of {len(sounds)} sound files is there, such as {sounds[0].name}")
    return found


def fingerprint_of(trials: Sequence[Trial]) -> str:
    """Names what is asked: texts, names and sizes of sound files, labels and faults, in order."""
    return fingerprint(*(part.encode() for trial in trials for part in _parts_of(trial)))


def _parts_of(trial: Trial) -> Iterator[str]:
    yield from (trial.item, trial.fault, str(sorted(trial.labels.items())))
    for said in (*trial.context, "", *trial.candidates):
        yield f"{said.name} {said.size}" if isinstance(said, Sound) else f"text {said}"
