"""The three aligners behind one interface: rows in, one outcome for each row, in order.

An outcome is the words with their times, or the reason why there are none.
"""

import collections
import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from data_prep.alignment.ctc import align_with_ctc
from data_prep.alignment.given import Given, cut_times, match_given
from data_prep.alignment.spelling import Spelled, spell
from data_prep.alignment.sphinx import LONG_SECONDS, Sphinx, require_pocketsphinx
from data_prep.alignment.times import Aligned, NotAligned, assemble
from data_prep.jobs.processes import Processes
from data_prep.jobs.row_sound import load_row
from data_prep.sound_queue import Admit, read_ahead
from spirit_jax.core.files import fingerprint
from spirit_jax.datasets.manifest import part_of
from spirit_jax.speech import audio
from spirit_jax.speech.encoders.wav2vec2.ctc import Wav2Vec2CTC
from spirit_jax.speech.segments import groups
from spirit_jax.tokens.streams import SAMPLE_RATE

Outcome = Aligned | NotAligned
Readable = tuple[np.ndarray, list[Spelled]]  # samples at 16 kHz, and the text
VERSION = "1"  # of the rules; another one makes the parts of an earlier version again


class Aligner(Protocol):
    """name: as in the summary. identity: differs where results may differ."""

    name: str
    identity: str

    def align(self, rows: Sequence[dict]) -> Iterator[Outcome]:
        """The outcome of each row, in order. The rows have audio and text."""
        ...

    def close(self) -> None:
        """Ends processes, if there are any."""
        ...


class SphinxAligner:
    """English by pocketsphinx, in several processes."""

    name = "pocketsphinx"

    def __init__(self, processes: int):
        require_pocketsphinx()
        self.identity = fingerprint(self.name.encode(), VERSION.encode())
        self._processes = Processes(processes)

    def align(self, rows: Sequence[dict]) -> Iterator[Outcome]:
        """As in `Aligner`. Halted if a process dies, for example for lack of memory."""
        yield from self._processes.map(_align_in_worker, rows)

    def close(self) -> None:
        """Ends the processes; work that has not begun is dropped."""
        self._processes.close()


class CtcAligner:
    """Any language, by a CTC network in this process, on its devices."""

    name = "ctc"

    def __init__(self, model: Wav2Vec2CTC, language: str):
        self.model, self.language = model, language
        self.identity = fingerprint(*(v.encode() for v in (self.name, VERSION, model.fingerprint, language)))

    def align(self, rows: Sequence[dict]) -> Iterator[Outcome]:
        """As in `Aligner`, some of the sound at a time."""

        def read(row: dict, admit: Admit) -> Readable | NotAligned:
            try:
                return _read(row, self.language, admit)
            except NotAligned as error:
                return error

        with contextlib.closing(read_ahead(rows, read)) as sounds:
            for batch in groups((item for _, item in sounds), samples=_samples):
                good = [item for item in batch if not isinstance(item, NotAligned)]
                found = iter(align_with_ctc(self.model, [wav for wav, _ in good], [text for _, text in good]))
                for item in batch:
                    yield item if isinstance(item, NotAligned) else next(found)

    def close(self) -> None:
        """Nothing to end."""


class GivenAligner:
    """Word times from files, matched to the words of the text."""

    name = "given"

    def __init__(self, times: Mapping[str, Sequence[Given]], language: str):
        self.times, self.language = times, language
        self.identity = fingerprint(*(v.encode() for v in (self.name, VERSION, language, repr(times))))
        stems = collections.Counter(name.rpartition("/")[2] for name in times)
        self._by_stem = {
            stem: words for name, words in times.items() if stems[stem := name.rpartition("/")[2]] == 1
        }

    def align(self, rows: Sequence[dict]) -> Iterator[Outcome]:
        """As in `Aligner`. Times are found by the row's id, or by its recording's name if that is unique."""
        yield from map(self._match, rows)

    def _match(self, row: dict) -> Outcome:
        try:
            spelled = _spell(row, self.language)
            stem = row["audio"].rpartition("/")[2].rpartition(".")[0]
            given = self.times.get(row["id"]) or cut_times(self._by_stem.get(stem, ()), part_of(row))
            if not given:
                raise NotAligned("no_times", f"the files of word times have none for {row['id']}")
            return assemble(spelled, match_given(spelled, given), max(word.end for word in given))
        except NotAligned as error:
            return error

    def close(self) -> None:
        """Nothing to end."""


@functools.cache
def _sphinx(wide: bool) -> Sphinx:
    """This process's decoder."""
    return Sphinx(wide)


def _align_in_worker(row: dict) -> Outcome:
    try:
        wav, spelled = _read(row, "en")
        return _sphinx(len(wav) >= LONG_SECONDS * SAMPLE_RATE).align(wav, spelled)
    except NotAligned as error:
        return error


def _read(row: dict, language: str, admit: Admit | None = None) -> Readable:
    """The sound of a row and its text. NotAligned if the sound cannot be read or the text is not spoken."""
    spelled = _spell(row, language)
    try:
        return load_row(row, admit), spelled
    except audio.BadAudio as error:
        raise NotAligned(error.reason, error.detail) from error


def _spell(row: dict, language: str) -> list[Spelled]:
    spelled = spell(row["text"].split(), language)
    if all(word.silent for word in spelled):
        raise NotAligned("no_spoken_words", "all of its text is punctuation or notes in brackets")
    return spelled


def _samples(item: Readable | NotAligned) -> int:
    return 0 if isinstance(item, NotAligned) else len(item[0])
