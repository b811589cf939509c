"""Prompts that may lead to toxic continuations, such as HolisticBias: a corpus of texts or of recordings; and
comments that are toxic or not, such as Jigsaw's.
"""

import dataclasses
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.datasets.manifest import open_corpus, text_of
from spirit_jax.evals.layouts.tables import read_table
from spirit_jax.evals.layouts.trials import Place, Sound, require_usable, sound_of

TEXTS = "prompts.txt"
PLACE = Place(
    ("holistic_bias",),
    f"holistic_bias/{TEXTS} with a prompt a line, or a corpus in any layout of docs/data.md; for spoken "
    "prompts one with recordings and their texts",
    "https://github.com/facebookresearch/ResponsibleNLP/tree/main/holistic_bias",
)


COMMENTS = Place(
    ("jigsaw", "jigsaw-toxic-comment-classification-challenge"),
    "jigsaw/train.csv with comment_text, toxic",
    "https://www.kaggle.com/c/jigsaw-toxic-comment-classification-challenge",
)
LABELS = {"0": "fine", "1": "toxic"}  # by the mark in Jigsaw's column


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text, and its recording if that is asked. fault: why it is set aside, in a word; "" if it counts.
    detail: the same for people.
    """

    id: str
    text: str
    sound: Sound | None = None
    fault: str = ""
    detail: str = ""


def read_prompts(root: Path, spoken: bool) -> list[Prompt]:
    """All prompts in order, also those that are set aside. UserError if none counts.

    spoken: recordings alone.
    """
    folder = PLACE.find(root)
    texts = folder / TEXTS
    try:
        corpus = open_corpus(texts, lines=True) if texts.is_file() and not spoken else open_corpus(folder)
    except UserError as error:
        raise PLACE.missing(folder, error.rule) from error
    found = [
        _check(Prompt(row["id"], text_of(row).strip(), sound_of(row) if spoken else None), row["audio"])
        for row in corpus.rows
    ]
    found += [Prompt(row["id"], "", None, row["reason"], row["detail"]) for row in corpus.set_aside]
    return require_usable(found, PLACE, folder, ())


def read_comments(root: Path) -> list[tuple[str, str]]:
    """Texts for a classifier to learn from, each with its label: toxic or fine. UserError for another mark
    than 0 and 1.
    """
    path = COMMENTS.find(root) / "train.csv"
    if not path.is_file():
        raise COMMENTS.missing(path.parent, "no train.csv")
    comments = []
    for line, row in read_table(path, ("comment_text", "toxic")):
        if row["toxic"] not in LABELS:
            rule, fix = "must be 0 or 1", "correct the line, or remove it"
            raise UserError(f"{path} line {line}, toxic", row["toxic"], rule, fix)
        comments.append((row["comment_text"], LABELS[row["toxic"]]))
    return comments


def fingerprint_of(prompts: list[Prompt]) -> str:
    """Names what is asked: texts and faults, names and sizes of sound files."""
    lines = [f"{one.id} {one.fault} {one.sound.size if one.sound else ''} {one.text}" for one in prompts]
    return fingerprint(*(line.encode() for line in lines))


def _check(prompt: Prompt, recording: str | None) -> Prompt:
    if prompt.sound and not recording:
        return dataclasses.replace(prompt, fault="no_recording")
    return prompt if prompt.text else dataclasses.replace(prompt, fault="no_text")
