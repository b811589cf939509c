"""STSP, the paper's benchmark of sentiment preservation (section 5): manifests of recordings and of texts."""

import collections
import dataclasses
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, parse_lines
from spirit_jax.evals.layouts.trials import Place, Said, Sound, require_usable
from spirit_jax.tokens.vocabulary import Modality

SHOWN = "train"  # the split of which examples are drawn
MANIFESTS = {Modality.SPEECH: "records_emov_{split}.jsonl", Modality.TEXT: "records_text_{split}.jsonl"}
KEYS = {Modality.SPEECH: ("id", "emotion", "wav_path"), Modality.TEXT: ("id", "emotion", "text")}
SENTIMENTS = {  # of emotions and of labels of classifiers; our choice: sleepy has none
    "positive": ("positive", "pos", "amused", "amusement", "happy", "hap", "joy", "happiness"),
    "negative": (
        "negative",
        "neg",
        "angry",
        "ang",
        "anger",
        "disgusted",
        "disgust",
        "sad",
        "sadness",
        "fearful",
    ),
    "neutral": ("neutral", "neu", "default", "calm"),
}
PLACE = Place(
    ("stsp",),
    "stsp/records_emov_{train,dev,test}.jsonl with id, emotion, wav_path, split and speaker, the sounds that "
    "wav_path names below stsp/; for text stsp/records_text_{train,dev,test}.jsonl with id, emotion, text",
    "https://github.com/facebookresearch/spiritlm (manifests) and https://www.openslr.org/115 (EmoV-DB)",
)


@dataclasses.dataclass(frozen=True)
class Expression:
    """What is said with a sentiment. fault: why it is set aside, in a word; "" if it counts. detail: the same
    for people.
    """

    id: str
    sentiment: str
    said: Said
    fault: str = ""
    detail: str = ""


def sentiment_of(name: str) -> str | None:
    """The sentiment of an emotion or of a classifier's label, None if it has none."""
    name = name.strip().lower()
    return next((sentiment for sentiment, names in SENTIMENTS.items() if name in names), None)


def read_expressions(root: Path, modality: Modality, split: str) -> list[Expression]:
    """The rows of a split in order, also those that are set aside. UserError if none counts."""
    folder = PLACE.find(root)
    path = folder / MANIFESTS[modality].format(split=split)
    if not path.is_file():
        raise PLACE.missing(folder, f"no {path.name}")
    found, times = [], collections.Counter()
    for line, row in parse_lines(path):
        one = _bad(f"line {line}", str(row)) if isinstance(row, UserError) else _read(folder, row, modality)
        times[one.id] += 1
        if times[one.id] > 1 and not one.fault:
            one = dataclasses.replace(one, fault="duplicate_row", detail=f"line {line}: id {one.id}")
        found.append(one)
    sounds = [one.said for one in found if isinstance(one.said, Sound)]
    return require_usable(found, PLACE, path, sounds)


def fingerprint_of(expressions: list[Expression]) -> str:
    """Names what is asked: ids, sentiments and faults, texts, names and sizes of sound files."""
    lines = []
    for one in expressions:
        said = f"{one.said.name} {one.said.size}" if isinstance(one.said, Sound) else f"text {one.said}"
        lines.append(f"{one.id} {one.sentiment} {one.fault} {said}")
    return fingerprint(*(line.encode() for line in lines))


def _read(folder: Path, row: dict, modality: Modality) -> Expression:
    absent = [key for key in KEYS[modality] if not str(row.get(key, "")).strip()]
    if absent:
        return _bad(str(row.get("id", "")), f"no {absent[0]}")
    id, emotion, said = (str(row[key]) for key in KEYS[modality])
    sentiment = sentiment_of(emotion)
    thing = Sound(folder / said, said) if modality is Modality.SPEECH else said
    if sentiment is None:
        return Expression(id, "", thing, "no_sentiment", f"{id} is {emotion}, which has no sentiment")
    return Expression(id, sentiment, thing)


def _bad(id: str, detail: str) -> Expression:
    return Expression(id, "", "", "bad_row", detail)
