"""Writes a page of a corpus, of its units or of its shards: some records to see and hear, and statistics.

    python -m data_prep look --data shards --out look --codec codec --tokenizer tokenizer

What DATA does not have is named on the page: a manifest has no units, shards have no recordings.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from data_prep.look.examples import Sounds, show
from data_prep.look.items import Item, open_subject
from data_prep.look.page import make_page
from data_prep.look.statistics import Statistics
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder, write_text
from spirit_jax.core.progress import track
from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.datasets.manifest import stream_corpus
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.tokens.interleave import Spans
from spirit_jax.tokens.text import TextTokenizer

PAGE = "look.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    spans = Spans()
    parser.add_argument(
        "--data", type=Path, required=True, help="shards, a units folder, a manifest or recordings"
    )
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {PAGE}")
    parser.add_argument("--split", help="one split; by default all")
    parser.add_argument("--count", type=int, default=6, help="records that are drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of records, and of their spans")
    parser.add_argument("--ids", nargs="+", default=[], help="these records in place of random ones")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a record that are drawn and heard")
    parser.add_argument("--tokenizer", type=Path, help="for the sequences of a units folder")
    parser.add_argument("--audio", type=Path, help="for shards: the manifest of their recordings")
    parser.add_argument("--codec", type=Path, help="for shards: speaks the codes where no recording is known")
    for name, words in (("text", spans.text), ("speech", spans.speech)):
        parser.add_argument(
            f"--{name}-span", type=int, nargs=2, default=words, metavar=("LOW", "HIGH"), help="words"
        )


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints where it is."""
    _check(args)
    require_output_folder(args.out, "--out")
    tokenizer = TextTokenizer.load(args.tokenizer) if args.tokenizer else None
    codec = load_codec(args.codec) if args.codec else None
    subject = open_subject(args.data, tokenizer, args.split)
    statistics, choice = Statistics(subject.streams), Choice(args.count, args.seed, args.ids)
    for item in track(subject.items(), "look", unit="rows"):
        if isinstance(item, Item):
            statistics.add(item)
            choice.add(item)
        else:
            statistics.add_bad(item["reason"])
    statistics.finish()
    chosen = choice.items()
    sounds = Sounds(_recordings(args.audio, chosen), codec, args.seconds)
    spans = Spans(tuple(args.text_span), tuple(args.speech_span))
    examples = [show(item, subject, sounds, spans, args.seed) for item in chosen]
    write_text(args.out / PAGE, make_page(args.data, subject, statistics, examples))
    print(args.out / PAGE)
    return 0


class Choice:
    """Items that are drawn evenly while they pass: of those with speech, or of the others where none has any.

    ids: these items in place of random ones, in this order.
    """

    def __init__(self, count: int, seed: int, ids: Sequence[str]):
        self._count, self._rng, self._ids = count, random.Random(seed), ids
        self._named: dict[str, Item] = {}
        self._drawn: dict[bool, list[Item]] = {True: [], False: []}
        self._passed = {True: 0, False: 0}

    def add(self, item: Item) -> None:
        """An item passes."""
        if item.id in self._ids:
            self._named.setdefault(item.id, item)
        drawn, self._passed[item.spoken] = self._drawn[item.spoken], self._passed[item.spoken] + 1
        if len(drawn) < self._count:
            drawn.append(item)
        elif (at := self._rng.randrange(self._passed[item.spoken])) < self._count:
            drawn[at] = item

    def items(self) -> list[Item]:
        """The chosen ones. UserError if an id was not there, or if nothing was."""
        if missing := [id for id in self._ids if id not in self._named]:
            raise UserError(
                "--ids", missing[0], "is no record of the data", "look without --ids for some ids"
            )
        if not any(self._passed.values()):
            raise UserError("--data", "", "has no records", "check the path and --split")
        return [self._named[id] for id in self._ids] or self._drawn[True] or self._drawn[False]


def _check(args: argparse.Namespace) -> None:
    for name, (low, high) in (("--text-span", args.text_span), ("--speech-span", args.speech_span)):
        if not 1 <= low <= high:
            raise UserError(name, (low, high), "needs 1 <= LOW <= HIGH", f"for example {name} 5 15")
    if args.count < 0:
        raise UserError("--count", args.count, "must be at least 0", "6 make a readable page")
    if not args.seconds > 0:
        raise UserError("--seconds", args.seconds, "must be above 0", "for example --seconds 15")


def _recordings(audio: Path | None, chosen: Sequence[Item]) -> dict[str, ManifestRow]:
    """The rows of the chosen items' recordings, by id."""
    wanted = {item.id for item in chosen}
    rows = stream_corpus(audio) if audio else ()
    return {row["id"]: row for row, _ in rows if row and row["id"] in wanted and row["audio"]}
