"""The models that judge what was generated. A user names their folders."""

import dataclasses
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.evals.judges.classifiers import Classifier, load_classifier
from spirit_jax.evals.judges.language_models import LanguageModel, load_language_model
from spirit_jax.evals.judges.quality import Dnsmos
from spirit_jax.evals.judges.recognisers import Recogniser, load_recogniser
from spirit_jax.evals.judges.toxicity import ToxicityJudge, load_toxic_labels, load_word_list
from spirit_jax.tokens.vocabulary import Modality

OPTIONS = {  # by a judge's name
    "asr": "--asr",
    "text_classifier": "--text-classifier",
    "speech_classifier": "--speech-classifier",
    "judge_lm": "--judge-lm",
    "toxic_words": "--toxic-words",
    "toxicity_classifier": "--toxicity-classifier",
}

LOADED = {  # the property of `Judges` that loads a judge
    "asr": "recogniser",
    "text_classifier": "classifiers",
    "speech_classifier": "classifiers",
    "judge_lm": "language_model",
    "toxic_words": "toxicity",
    "toxicity_classifier": "toxicity",
    "mos": "quality",
}


@dataclasses.dataclass(frozen=True)
class Judges:
    """Folders of judges, None where none was named. A judge is loaded when a task first asks for it.

    asr: hears speech. text_classifier, speech_classifier: tell the sentiment or the style.
    judge_lm: says how likely a text is. toxic_words (a file), toxicity_classifier: say whether a text is
    toxic.
    """

    asr: Path | None = None
    text_classifier: Path | None = None
    speech_classifier: Path | None = None
    judge_lm: Path | None = None
    toxic_words: Path | None = None
    toxicity_classifier: Path | None = None

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

    @cached_property
    def language_model(self) -> LanguageModel:
        """The language model."""
        return load_language_model(self.require("judge_lm"))

    @cached_property
    def quality(self) -> Dnsmos:
        """The predictor of opinion scores. It has no option: its weights are in a package."""
        return Dnsmos()

    @cached_property
    def toxicity(self) -> dict[str, ToxicityJudge]:
        """The judges of toxicity that were named."""
        loaders = {"toxic_words": load_word_list, "toxicity_classifier": load_toxic_labels}
        return {name: load(self.require(name)) for name, load in loaders.items() if getattr(self, name)}

    def load(self, names: Iterable[str]) -> None:
        """Loads these judges, so that a folder that is none is found before anything is generated."""
        for name in names:
            self.check(name)
            getattr(self, LOADED[name])

    def check(self, name: str) -> None:
        """UserError for a judge that a user has to name and did not."""
        if name in OPTIONS:
            self.require(name)

    def require(self, name: str) -> Path:
        """The folder of a judge. UserError if the user named none."""
        folder = getattr(self, name)
        if folder is None:
            rule = "the task needs a judge of what is generated"
            raise UserError(OPTIONS[name], None, rule, f"give {OPTIONS[name]} PATH, see docs/evaluation.md")
        return folder
