"""Writes units and texts as token shards (`spirit_jax.datasets.shards`), a split for each of the manifest's,
with a card of what they hold.

    python -m data_prep shards --units units --texts corpus/manifest.jsonl \
        --tokenizer tokenizer --codec codec --out shards

Rows are read and written as a stream, and tokenised in groups. With `--beam` Apache Beam does it.
"""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import tensorflow_datasets as tfds

from data_prep.shards.card import write_card
from data_prep.shards.contents import Contents, Draws, Inputs, features_of, grouped
from data_prep.shards.counts import Counts
from data_prep.shards.shard_files import VERSION, SplitFiles, write_info
from data_prep.shards.survey import Survey, check_survey, survey_rows
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import drop_partials, require_output_folder, require_renames, write_atomically
from spirit_jax.core.progress import track
from spirit_jax.core.stored_files import format_suffix
from spirit_jax.datasets.shards import DATASET, Layout, split_sizes
from spirit_jax.tokens.interleave import Arrangement, Spans

GROUP_ROWS, GROUP_LETTERS = 1024, 2**22  # rows that are tokenised together: as many, or with so many letters


class Writer(Protocol):
    """Who reads the rows and writes the files."""

    def survey(self) -> Survey:
        """Looks at all rows."""
        ...

    def write(self, folder: Path, survey: Survey) -> tuple[list[tfds.core.SplitInfo], Mapping[str, Counts]]:
        """Writes the files of all splits into a folder; returns what TFDS should know, and the counts."""
        ...


@dataclasses.dataclass(frozen=True)
class HereWriter:
    """This process, which writes in one pass over the rows."""

    contents: Contents

    def survey(self) -> Survey:
        """As `Writer` says."""
        return survey_rows(self.contents)

    def write(self, folder: Path, survey: Survey) -> tuple[list[tfds.core.SplitInfo], Mapping[str, Counts]]:
        """As `Writer` says."""
        files = {name: SplitFiles(folder, DATASET, name) for name in survey.splits}
        counts = {name: Counts(self.contents.metadata.vocabulary) for name in survey.splits}
        groups = grouped(track(self.contents.rows(), "shards", unit="rows"), GROUP_ROWS, GROUP_LETTERS)
        for made in map(self.contents.make, groups):
            for example in made.examples:
                files[example.split].add(example.key, example.stored)
            for split, some in made.counts.items():
                counts[split].update(some)
        return [split.finish() for split in files.values()], counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    draws = Draws()
    add = parser.add_argument
    add("--units", type=Path, nargs="+", default=(), help="folders that data_prep units wrote")
    add(
        "--texts",
        type=Path,
        nargs="+",
        default=(),
        help="manifests whose rows without audio are texts, or .txt files that are one text each",
    )
    add("--lines", action="store_true", help="each line of a .txt is a text")
    add("--tokenizer", type=Path, required=True, help="tokenizer.model, tokenizer.json or their folder")
    add(
        "--codec",
        type=Path,
        help="codec folder; needed with --units, and for texts that are to be mixed with speech",
    )
    add("--out", type=Path, required=True)
    add("--config", choices=[layout.value for layout in Layout], default=Layout.ALIGNED.value)
    add(
        "--arrangement",
        choices=[way.value for way in Arrangement if way.needs_word_times],
        default=draws.arrangement.value,
        help="interleaved: how words become documents",
    )
    add("--draws", type=int, default=draws.count, help="interleaved: documents an aligned utterance")
    add("--seed", type=int, default=draws.seed, help="interleaved: seed of the draws")
    for name, limits in (("--text-span", draws.spans.text), ("--speech-span", draws.spans.speech)):
        add(name, type=int, nargs=2, default=limits, metavar=("LOW", "HIGH"), help="interleaved: words")
    add(
        "--poisson",
        type=float,
        nargs=2,
        metavar=("TEXT", "SPEECH"),
        help="interleaved: mean words of Poisson's distribution, in place of the limits",
    )
    add("--beam", metavar="OPTIONS", help='write with Apache Beam: --beam="--runner=... ...", its options')


def read_spans(args: argparse.Namespace) -> Spans:
    """UserError for lengths that are none."""
    for name, (low, high) in (("--text-span", args.text_span), ("--speech-span", args.speech_span)):
        if not 1 <= low <= high:
            raise UserError(name, (low, high), "needs 1 <= LOW <= HIGH", f"for example {name} 5 15")
    if args.poisson and not min(args.poisson) > 0:
        raise UserError("--poisson", args.poisson, "needs two means above 0", "for example --poisson 23.3 10")
    poisson = tuple(args.poisson) if args.poisson else None
    return Spans(tuple(args.text_span), tuple(args.speech_span), poisson=poisson)


def run(args: argparse.Namespace) -> int:
    """Checks that the inputs fit each other, writes the data set atomically, and prints rows by split."""
    if not args.units and not args.texts:
        raise UserError("--units, --texts", None, "at least one is needed", "name what data_prep units wrote")
    if args.lines and ".txt" not in map(format_suffix, args.texts):
        raise UserError("--lines", args.texts, "needs --texts with a .txt file", "leave it out")
    if args.draws < 1:
        raise UserError("--draws", args.draws, "counts documents", "give 1 or more")
    draws = Draws(args.draws, args.seed, read_spans(args), Arrangement(args.arrangement))
    require_output_folder(args.out, "--out")
    require_renames(args.out, "--out")
    layout, texts = Layout(args.config), tuple(args.texts)
    inputs = Inputs(args.tokenizer, args.codec, tuple(args.units), texts, layout, draws, args.lines)
    contents = inputs.open()
    if args.texts and (lost := contents.tokenizer.lost_layout()):
        print(f"warning: {args.tokenizer} drops {', '.join(lost)} of texts", file=sys.stderr)
    writer = None
    if args.beam is not None:
        from data_prep.shards.beam_writer import BeamWriter  # needs Apache Beam

        writer = BeamWriter(inputs, args.out, args.beam)
    version = write_shards(contents, args.out, writer, _command(args))
    print(f"{version}: " + ", ".join(f"{count} {name}" for name, count in split_sizes(version).items()))
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command with all its options, also those that were not given."""
    words = []
    for name, value in vars(args).items():
        values = value if isinstance(value, list | tuple) else [value]
        given = len(values) and value is not None and value is not False
        if given and name != "command":
            words += [f"--{name.replace('_', '-')}", *(map(str, values) if value is not True else ())]
    return shlex.join(["python", "-m", "data_prep", "shards", *words])


def write_shards(contents: Contents, out: Path, writer: Writer | None = None, command: str = "") -> Path:
    """Writes OUT/spirit_tokens/CONFIG/VERSION atomically, replacing an older one; returns that folder.

    writer: by default this process.
    """
    writer = writer or HereWriter(contents)
    metadata = contents.stored_metadata
    config = out / DATASET / metadata.layout.value
    drop_partials(config.parent, config.name)
    survey = writer.survey()
    check_survey(survey, out)
    with write_atomically(config) as partial:
        version = partial / VERSION
        version.mkdir(parents=True)
        splits, counts = writer.write(version, survey)
        write_info(version, DATASET, config.name, features_of(metadata), metadata.to_dict(), splits)
        write_card(version, metadata, counts, survey.leaked, command)
    return config / VERSION
