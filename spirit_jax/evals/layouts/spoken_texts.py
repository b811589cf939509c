"""Data sets of recordings with a text each: LibriSpeech's transcripts, Fluent Speech Commands' intents."""

import collections
import dataclasses
from pathlib import Path
from typing import Protocol

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.evals.layouts.tables import read_table
from spirit_jax.evals.layouts.trials import Place, Sound, require_usable, sound_of

ASKED, SHOWN = "test-clean", "dev-clean"  # folders of LibriSpeech
STOP = "stop.wav"
COLUMNS = ("path", "action", "object", "location")


@dataclasses.dataclass(frozen=True)
class Spoken:
    """A recording and its text. fault: why it is set aside, in a word; "" if it counts. detail: the same for
    people.
    """

    id: str
    sound: Sound
    text: str
    fault: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class SpokenSet:
    """asked: the recordings that are asked about. shown: those of which examples are drawn. stop: the spoken
    word that ends an utterance, None for a data set without it.
    """

    asked: tuple[Spoken, ...]
    shown: tuple[Spoken, ...]
    stop: Sound | None = None

    @property
    def fingerprint(self) -> str:
        """Names what is asked and shown: ids, texts and faults, names and sizes of sound files."""
        parts = [
            f"{one.id} {one.sound.name} {one.sound.size} {one.fault} {one.text}"
            for one in (*self.asked, *self.shown)
        ]
        parts += [f"{self.stop.name} {self.stop.size}"] if self.stop else []
        return fingerprint(*(part.encode() for part in parts))


class SpokenLayout(Protocol):
    """Reads one data set of recordings with texts."""

    @property
    def place(self) -> Place:
        """Where its files are."""
        ...

    def read(self, root: Path) -> SpokenSet:
        """All recordings in a fixed order. UserError if there are none to ask about or to show."""
        ...


@dataclasses.dataclass(frozen=True)
class LibriSpeech:
    """Recordings of `test-clean` are asked about, those of `dev-clean` are shown. Texts are lower case.

    stop: whether the spoken word "stop" is needed, `stop.wav` in the folder.
    """

    stop: bool = False

    @property
    def place(self) -> Place:
        """`LibriSpeech/`."""
        shape = f"LibriSpeech/{{{SHOWN},{ASKED}}}/SPEAKER/CHAPTER/*.flac with *.trans.txt"
        source = "https://www.openslr.org/12"
        if self.stop:
            shape += f", and LibriSpeech/{STOP}, a recording of the word"
            source += ", the word from https://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
        return Place(("LibriSpeech", "librispeech"), shape, source)

    def read(self, root: Path) -> SpokenSet:
        """In the order of the paths."""
        folder = self.place.find(root)
        asked, shown = (self._read_part(folder, name) for name in (ASKED, SHOWN))
        if self.stop and not (folder / STOP).is_file():
            raise self.place.missing(folder, f"no {STOP}, the spoken word that ends an utterance")
        return SpokenSet(asked, shown, Sound(folder / STOP, "stop") if self.stop else None)

    def _read_part(self, folder: Path, name: str) -> tuple[Spoken, ...]:
        if not (folder / name).is_dir():
            raise self.place.missing(folder, f"no folder {name}")
        try:
            corpus = open_corpus(folder / name)
        except UserError as error:
            raise self.place.missing(folder / name, f"{error.rule}") from error
        found = [
            _check(Spoken(row["id"], sound_of(row), (row["text"] or "").lower()))
            for row in corpus.rows
            if row["audio"]
        ]
        found += [
            Spoken(row["id"], sound_of(row), "", row["reason"], row["detail"]) for row in corpus.set_aside
        ]
        found += _without_recordings(folder / name, {one.id for one in found})
        return tuple(require_usable(found, self.place, folder / name, [one.sound for one in found]))


@dataclasses.dataclass(frozen=True)
class FluentSpeechCommands:
    """Recordings of the test table are asked about, those of the training table are shown. A text is an
    intent: action, object and location (our choice: "none" stays).
    """

    place: Place = Place(
        ("fluent_speech_commands_dataset",),
        "fluent_speech_commands_dataset/data/{train,test}_data.csv with path, action, object, location, and "
        "the wavs/ that they name",
        "https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research",
    )

    def read(self, root: Path) -> SpokenSet:
        """In the order of the tables."""
        folder = self.place.find(root)
        return SpokenSet(*(self._read_table(folder, name) for name in ("test", "train")))

    def _read_table(self, folder: Path, name: str) -> tuple[Spoken, ...]:
        path = folder / "data" / f"{name}_data.csv"
        if not path.is_file():
            raise self.place.missing(folder, f"no data/{name}_data.csv")
        found, times = [], collections.Counter()
        for line, row in read_table(path, COLUMNS):
            sound = Sound(folder / row["path"], row["path"])
            spoken = Spoken(row["path"], sound, " ".join(row[name].strip() for name in COLUMNS[1:]))
            times[spoken.id] += 1
            if not all(row[name].strip() for name in COLUMNS):
                spoken = dataclasses.replace(spoken, fault="bad_row", detail=f"line {line}: an empty field")
            elif times[spoken.id] > 1:
                spoken = dataclasses.replace(spoken, fault="duplicate_row", detail=f"line {line}")
            found.append(spoken)
        return tuple(require_usable(found, self.place, path, [one.sound for one in found]))


def _without_recordings(folder: Path, known: set[str]) -> list[Spoken]:
    """The lines of LibriSpeech's transcripts that have no recording, as of a download that is incomplete."""
    found = []
    for path in sorted(folder.rglob("*.trans.txt")):
        for line in path.read_text("utf-8-sig", errors="replace").splitlines():
            sound = path.parent / f"{line.split()[0]}.flac" if line.strip() else None
            if sound and (id := sound.relative_to(folder).with_suffix("").as_posix()) not in known:
                found.append(Spoken(id, Sound(sound, id), "", "missing", f"no {sound}"))
    return found


def _check(spoken: Spoken) -> Spoken:
    if spoken.text.strip():
        return spoken
    return dataclasses.replace(spoken, fault="no_text", detail=f"{spoken.id} has no transcript")
