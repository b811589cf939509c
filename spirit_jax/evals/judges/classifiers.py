"""Classifiers that a user names: a Hugging Face folder, or one of `small_classifier`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import jax.numpy as jnp
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_folder
from spirit_jax.evals.judges.recognisers import require_library
from spirit_jax.evals.judges.small_classifier import SETTINGS, SmallClassifier
from spirit_jax.speech.encoders.style.classifier import StyleEncoder, last_states, load_style_encoder
from spirit_jax.tokens.vocabulary import Modality

SPEECH_ARCHITECTURE = "Wav2Vec2ForSequenceClassification"
BATCH = 16
Given = TypeVar("Given", str, np.ndarray, contravariant=True)


class Classifier(Protocol[Given]):
    """Texts, or sounds float32 [samples] at 16 kHz, to labels."""

    @property
    def about(self) -> str:
        """What it is, for results."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that it gives."""
        ...

    def classify(self, given: Sequence[Given]) -> list[str]:
        """The likeliest label of each."""
        ...


def load_classifier(folder: Path, modality: Modality, option: str) -> Classifier[Any]:
    """The classifier of a folder. UserError that names the option for a folder of another kind."""
    require_folder(folder, option)
    if (folder / SETTINGS).is_file():
        small = SmallClassifier.load(folder)
        if bool(small.words) != (modality is Modality.TEXT):
            raise UserError(option, folder, f"does not classify {modality.value}", "give the other folder")
        return small
    if not (folder / "config.json").is_file():
        rule = f"has neither {SETTINGS} nor config.json of Hugging Face"
        raise UserError(option, folder, rule, "give the folder of a classifier")
    config = read_json(folder / "config.json")
    if modality is Modality.TEXT:
        return TextPipeline(folder, _labels(config))
    if config.get("architectures") != [SPEECH_ARCHITECTURE]:
        rule = f"is a {config.get('architectures')}, not a {SPEECH_ARCHITECTURE}"
        raise UserError(option, folder, rule, "give a wav2vec 2.0 classifier")
    return SpeechClassifier(load_style_encoder(folder), _labels(config), f"{folder.name}, wav2vec 2.0")


@dataclasses.dataclass(frozen=True)
class SpeechClassifier:
    """A wav2vec 2.0 classifier of whole recordings, by the mean of its frames."""

    network: StyleEncoder
    labels: tuple[str, ...]
    about: str

    def classify(self, given: Sequence[np.ndarray]) -> list[str]:
        """The likeliest label of each sound of 400 samples or more."""
        if not len(given):
            return []
        means_ND = np.stack([states_TD.mean(axis=0) for states_TD in last_states(self.network, given)])
        logits_NC = self.network.head(jnp.asarray(means_ND))[1]
        return [self.labels[i] for i in np.asarray(logits_NC).argmax(axis=1)]


class TextPipeline:
    """A folder that the text-classification pipeline of transformers loads."""

    def __init__(self, folder: Path, labels: tuple[str, ...]):
        library = require_library("transformers", "requirements-parity.txt")
        self._pipeline = library.pipeline("text-classification", str(folder), device="cpu")
        self.labels, self.about = labels, f"{folder.name}, transformers {library.__version__}"

    def classify(self, given: Sequence[str]) -> list[str]:
        """The likeliest label of each text, long ones cut at what the model reads."""
        found = self._pipeline(list(given), batch_size=BATCH, truncation=True) if len(given) else []
        return [one["label"] for one in found]


def _labels(config: dict) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    return tuple(names[key] for key in sorted(names, key=int))
