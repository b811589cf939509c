"""Makes stories in the layouts of StoryCloze and Topic-StoryCloze, from held-out sentences of a demo corpus.

    python -m data_prep stories --corpus corpus/manifest.jsonl --split heldout --out stories

A story is spoken by the voice of its sentence, as `synthesize` would: the stories of `heldout` by voices of
training, those of `heldout_voice` by voices that no training has heard. The same seed gives the same bytes.

sStoryCloze/    a first clause; its ending, and the ending with another object: hard to tell apart
tStoryCloze/    a first clause; its ending, and the ending of a sentence about something else: easy
"""

import argparse
import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data_prep.speakers import SPEAKERS
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder, write_atomically, write_json
from spirit_jax.core.progress import track
from spirit_jax.datasets.manifest import read_corpus, text_of
from spirit_jax.speech import audio

KNOWN_BY = "stories.json"
LEAST_STORIES = 8  # fewer have too few different objects


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence of the demo corpus, two clauses of words, and who says it."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    voice: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """Of both clauses."""
        return self.first + self.second


# samples at 16 kHz of some words of a story, by the story's number
SayPart = Callable[[int, Sequence[str]], np.ndarray]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of a corpus of `synthesize`")
    parser.add_argument("--split", default="heldout", help="whose sentences become stories")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data sets")
    parser.add_argument("--items", type=int, default=200, help="stories of each data set")
    parser.add_argument("--seed", type=int, default=0, help="of how it is spoken")


def run(args: argparse.Namespace) -> int:
    """Writes both data sets, or none."""
    if args.items < LEAST_STORIES:
        fix = f"give {LEAST_STORIES} or more"
        raise UserError("--items", args.items, f"must be at least {LEAST_STORIES}", fix)
    require_output_folder(args.out, "--out", KNOWN_BY)
    sentences = find_sentences(read_corpus(args.corpus), args.split)[: args.items]
    if len(sentences) < args.items:
        rule = f"has {len(sentences)} sentences of two clauses in {args.split}, {args.items} are needed"
        raise UserError("--corpus", args.corpus, rule, "make it with data_prep synthesize, or lower --items")

    def say(number: int, words: Sequence[str]) -> np.ndarray:
        return _say(" ".join(words), sentences[number].voice, f"{args.seed}/{number}")

    with write_atomically(args.out) as folder:
        write_stories(folder / "sStoryCloze", sentences, args.items, change_object, say)
        write_stories(folder / "tStoryCloze", sentences, args.items, change_ending, say)
        write_json(folder / KNOWN_BY, {"items": args.items, "split": args.split, "seed": args.seed})
    print(f"{args.out}: {args.items} stories of each data set")
    return 0


def find_sentences(rows: list[dict], split: str) -> list[Sentence]:
    """The sentences of a split that have two clauses."""
    of_split = [(text_of(row).split(", "), row["voice"]) for row in rows if row["split"] == split]
    cut = [
        Sentence(tuple(both[0].split()), tuple(both[1].split()), voice)
        for both, voice in of_split
        if len(both) == 2
    ]
    return [one for one in cut if len(one.first) > 3 and len(one.second) > 3]


def change_object(sentence: Sentence, others: list[Sentence]) -> tuple[str, ...]:
    """The ending with the object of the first other sentence that has another one."""
    found = next(other.second[2] for other in others if other.second[2] != sentence.second[2])
    return (*sentence.second[:2], found, *sentence.second[3:])


def change_ending(sentence: Sentence, others: list[Sentence]) -> tuple[str, ...]:
    """The ending of the first other sentence with another verb and another object."""
    wanted = set(sentence.second[1:3])
    return next(other.second for other in others if not wanted & set(other.second))


def write_stories(
    folder: Path,
    sentences: list[Sentence],
    items: int,
    change: Callable[[Sentence, list[Sentence]], tuple[str, ...]],
    say: SayPart,
) -> None:
    """Writes beginning, ending and wrong ending of the first `items` sentences, as text and as sound."""
    folder.mkdir(parents=True)
    for item, sentence in enumerate(track(sentences[:items], folder.name)):
        others = sentences[item + 1 :] + sentences[:item]
        parts = {"mutual": sentence.first, "correct": sentence.second, "incorrect": change(sentence, others)}
        for kind, words in parts.items():
            comma = "," if kind == "mutual" else ""
            (folder / f"{item}_{kind}.txt").write_text(" ".join(words) + comma + "\n")
            audio.save(folder / f"{item}_{kind}.wav", say(item, words))


def _say(text: str, voice: str, seed: str) -> np.ndarray:
    """The text by a speaker of any of the corpora, float32; the same seed speaks it alike."""
    known = {name: one.say for one in SPEAKERS.values() for name in (*one.training, *one.heldout)}
    if voice not in known:
        raise UserError(
            "voice", repr(voice), f"must be one of {', '.join(known)}", "use data_prep synthesize"
        )
    samples, _ = known[voice](text, voice, random.Random(seed))
    return samples.astype(np.float32) / 32768
