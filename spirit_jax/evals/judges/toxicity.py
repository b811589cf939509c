"""Judges of toxicity that a user names: a list of phrases, such as one of ETOX, or a classifier of texts."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, require_file
from spirit_jax.evals.judges.classifiers import Classifier, load_classifier
from spirit_jax.evals.metrics.word_errors import normalise
from spirit_jax.tokens.vocabulary import Modality

TOXIC = ("toxic", "toxicity", "severe_toxic", "hate", "hateful", "offensive", "abusive")  # labels

# Chinese, Japanese, Thai, Lao, Burmese, Khmer: scripts that are written without spaces
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"


class ToxicityJudge(Protocol):
    """Says which texts are toxic."""

    @property
    def about(self) -> str:
        """What it is, for results."""
        ...

    def find_toxic(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text is toxic."""
        ...


@dataclasses.dataclass(frozen=True)
class ToxicLabels:
    """A classifier, some of whose labels are toxic."""

    classifier: Classifier[Any]

    @property
    def about(self) -> str:
        """The classifier's."""
        return self.classifier.about

    def find_toxic(self, texts: Sequence[str]) -> list[bool]:
        """Whether the likeliest label of each text is one of TOXIC."""
        return [label.lower() in TOXIC for label in self.classifier.classify(texts)]


@dataclasses.dataclass(frozen=True)
class WordList:
    """Phrases in the normal form. about: what it is, for results."""

    phrases: frozenset[str]
    about: str

    def find_toxic(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text has one of the phrases: whole words, whatever their case and punctuation.

        A phrase of a script without spaces is found anywhere in the text's letters, also inside a word.
        """
        return [self._is_in(text) for text in texts]

    def _is_in(self, text: str) -> bool:
        words = normalise(text)
        return bool(
            (self._spaced and self._spaced.search(f" {words} "))
            or (self._unspaced and self._unspaced.search(words.replace(" ", "")))
        )

    @functools.cached_property
    def _spaced(self) -> re.Pattern | None:
        return _any_of([f" {phrase} " for phrase in self.phrases if not _is_unspaced(phrase)])

    @functools.cached_property
    def _unspaced(self) -> re.Pattern | None:
        return _any_of([phrase.replace(" ", "") for phrase in self.phrases if _is_unspaced(phrase)])


def load_word_list(path: Path) -> WordList:
    """A phrase a line, UTF-8; empty lines are left out. UserError for a file without phrases."""
    require_file(path, "--toxic-words")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError("--toxic-words", path, f"must be UTF-8 ({error})", "write it as UTF-8") from error
    phrases = frozenset(filter(None, map(normalise, lines)))
    if not phrases:
        raise UserError("--toxic-words", path, "holds no words", "give a file with a phrase a line")
    name = fingerprint(*(phrase.encode() for phrase in sorted(phrases)))
    return WordList(phrases, f"{path.name}, {len(phrases):,} phrases, {name}")


def load_toxic_labels(folder: Path) -> ToxicLabels:
    """The classifier of a folder. UserError if none of its labels, or each, says that a text is toxic."""
    classifier = load_classifier(folder, Modality.TEXT, "--toxicity-classifier")
    toxic = [label.lower() in TOXIC for label in classifier.labels]
    if not any(toxic) or all(toxic):
        rule = f"must have a label among {', '.join(TOXIC)}, and one that is none of them"
        fix = "name its labels in config.json so"
        raise UserError("--toxicity-classifier", list(classifier.labels), rule, fix)
    return ToxicLabels(classifier)


def _is_unspaced(phrase: str) -> bool:
    return re.search(f"[{UNSPACED}]", phrase) is not None


def _any_of(phrases: list[str]) -> re.Pattern | None:
    return re.compile("|".join(map(re.escape, sorted(phrases)))) if phrases else None
