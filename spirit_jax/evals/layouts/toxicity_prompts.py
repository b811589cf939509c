"""Prompts that may lead to toxic continuations, such as HolisticBias: a corpus of texts or of recordings."""

import dataclasses
import os
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.datasets.manifest import open_corpus, text_of
from spirit_jax.evals.layouts.trials import Place

TEXTS = "prompts.txt"
PLACE = Place(
    ("holistic_bias",),
    f"holistic_bias/{TEXTS} with a prompt a line, or a corpus in any layout of docs/data.md; for spoken "
    "prompts one with recordings and their texts",
    "https://github.com/facebookresearch/ResponsibleNLP/tree/main/holistic_bias",
)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text, and where it is recorded the row of its recording. fault: why it is set aside, in a word; "" if
    it counts.
    """

    id: str
    text: str
    row: ManifestRow | None = None
    fault: str = ""


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
        _check(Prompt(row["id"], text_of(row).strip(), row if spoken else None), row) for row in corpus.rows
    ]
    found += [Prompt(row["id"], "", None, row["reason"]) for row in corpus.set_aside]
    if all(one.fault for one in found):
        raise PLACE.missing(folder, f"no usable prompts, {len(found)} set aside, the first: {found[0].fault}")
    return found


def fingerprint_of(prompts: list[Prompt]) -> str:
    """Names what is asked: texts and faults, names and sizes of sound files."""
    lines = [f"{one.id} {one.fault} {_sound(one)} {one.text}" for one in prompts]
    return fingerprint(*(line.encode() for line in lines))


def _check(prompt: Prompt, row: ManifestRow) -> Prompt:
    if prompt.row is not None and not row["audio"]:
        return dataclasses.replace(prompt, fault="no_recording")
    return prompt if prompt.text else dataclasses.replace(prompt, fault="no_text")


def _sound(prompt: Prompt) -> str:
    path = prompt.row and prompt.row["audio"]
    return f"{Path(path).name} {os.path.getsize(path)}" if path and os.path.isfile(path) else ""
