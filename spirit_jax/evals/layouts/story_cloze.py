"""StoryCloze and Topic-StoryCloze: `{id}_correct.wav`, `{id}_incorrect.wav`, and for stories that are cut
`{id}_mutual.wav`; texts have the same names with `.txt`.
"""

import dataclasses
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.evals.layouts.trials import Place, Said, Sound, Trial, require_usable, sounds_of
from spirit_jax.tokens.vocabulary import Modality

SUFFIXES = {Modality.TEXT: ".txt", Modality.SPEECH: ".wav"}
BEGINNING, ENDINGS = "_mutual", ("_correct", "_incorrect")


@dataclasses.dataclass(frozen=True)
class StoryEndings:
    """A trial for each story, by the names of its files.

    With beginnings (`_mutual`) in the modality `given`, these are the context and the endings are compared.
    Without any, whole stories are compared, which needs one modality.
    """

    place: Place
    given: Modality
    compared: Modality
    has_splits: bool = False

    @property
    def needs_speech(self) -> bool:
        """Unless it is from text to text."""
        return Modality.SPEECH in (self.given, self.compared)

    def read(self, root: Path, split: str) -> list[Trial]:
        """Trials in the order of their names. The data set has no splits. UserError without any stories."""
        folder = self.place.find(root)
        beginnings = _named(folder, BEGINNING, self.given)
        right, wrong = (_named(folder, ending, self.compared) for ending in ENDINGS)
        if self.given is not self.compared and not beginnings:
            raise self.place.missing(folder, f"no file *{BEGINNING}{SUFFIXES[self.given]}")
        parts = [beginnings] * bool(beginnings) + [right, wrong]
        trials = [self._trial(item, parts) for item in sorted({*right, *wrong, *beginnings})]
        return require_usable(trials, self.place, folder, sounds_of(trials))

    def _trial(self, item: str, parts: list[dict[str, Path]]) -> Trial:
        kinds = ([BEGINNING] * (len(parts) > 2)) + list(ENDINGS)
        if absent := [kind for kind, part in zip(kinds, parts) if item not in part]:
            return Trial(item, fault="missing_partner", detail=f"no {item}{absent[0]} of the needed kind")
        *context, right, wrong = (_said(part[item]) for part in parts)
        return Trial(item, (right, wrong), tuple(context))


def _named(folder: Path, kind: str, modality: Modality) -> dict[str, Path]:
    """The files of a kind by id."""
    end = kind + SUFFIXES[modality]
    return {path.name.removesuffix(end): path for path in folder.glob(f"*{end}")}


def _said(path: Path) -> Said:
    if path.suffix != SUFFIXES[Modality.TEXT]:
        return Sound(path, path.stem)
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError("text file", path, f"must be UTF-8 ({error})", "convert it") from error


def _place(folder: str) -> Place:
    names = "{id}_correct and {id}_incorrect as .wav or .txt, between modalities also {id}_mutual"
    source = "https://github.com/slp-rl/SpokenStoryCloze"
    return Place((folder,), f"{folder}/ with {names}", source)


STORIES, TOPIC_STORIES = _place("sStoryCloze"), _place("tStoryCloze")
