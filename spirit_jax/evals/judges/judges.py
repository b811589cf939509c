"""The models that judge what was generated. A user names their folders."""

import dataclasses
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.evals.judges.classifiers import Classifier, load_classifier
from spirit_jax.evals.judges.recognisers import Recogniser, load_recogniser
from spirit_jax.tokens.vocabulary import Modality

OPTIONS = {  # by a judge's name
    "asr": "--asr",
    "text_classifier": "--text-classifier",
    "speech_classifier": "--speech-classifier",
}


@dataclasses.dataclass(frozen=True)
class Judges:
    """Folders of judges, None where none was named. A judge is loaded when a task first asks for it.

    asr: hears speech. text_classifier, speech_classifier: tell the sentiment or the style.
    """

    asr: Path | None = None
    text_classifier: Path | None = None
    speech_classifier: Path | None = None

    @cached_property
    def recogniser(self) -> Recogniser:
        """The speech recogniser."""
        return load_recogniser(self.require("asr"))

    @cached_property
    def classifiers(self) -> dict[Modality, Classifier[Any]]:
        """The classifiers that were named, by what they classify."""
        named = {Modality.TEXT: "text_classifier", Modality.SPEECH: "speech_classifier"}
        return {
            modality: load_classifier(self.require(name), modality, OPTIONS[name])
            for modality, name in named.items()
            if getattr(self, name)
        }

    def load(self, names: Iterable[str]) -> None:
        """Loads these judges, so that a folder that is none is found before anything is generated."""
        for name in names:
            _ = self.recogniser if name == "asr" else self.classifiers

    def require(self, name: str) -> Path:
        """The folder of a judge. UserError if the user named none."""
        folder = getattr(self, name)
        if folder is None:
            rule = "the task needs a model that judges what is generated"
            raise UserError(OPTIONS[name], None, rule, f"give {OPTIONS[name]} FOLDER, see docs/evaluation.md")
        return folder
