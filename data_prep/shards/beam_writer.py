"""Shards through Apache Beam: the same rows in the same files, by TFDS's own writer for Beam, on any runner.

Files of units and corpora of texts are read in parallel, one worker each. Their rows are then tokenised in
groups, which the runner spreads over its workers. A worker opens the inputs by their paths, and writes a file
under another name until it is whole; so what a worker did can be done again.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam  # pyright: ignore[reportMissingImports]
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions, TypeOptions  # pyright: ignore[reportMissingImports]
from apache_beam.pvalue import AsIter, AsSingleton, TaggedOutput  # pyright: ignore[reportMissingImports]
from tensorflow_datasets.core import writer as tfds_writer
from tensorflow_datasets.core.file_adapters import FileFormat

from data_prep.shards.contents import Contents, Example, Inputs, Part, grouped
from data_prep.shards.counts import Counts, total
from data_prep.shards.shard_files import file_count, template_of
from data_prep.shards.survey import Survey, key_of
from spirit_jax.core.errors import Halted
from spirit_jax.core.files import nearest_existing, read_json, write_bytes, write_json
from spirit_jax.datasets.shards import DATASET
from spirit_jax.datasets.splits import TRAINING_SPLITS, sentence_of

GROUP_ROWS, GROUP_LETTERS = 128, 2**18  # rows that travel and are tokenised together
COUNTS = "counts"
WORKER_THREAD = "run_worker"  # DirectRunner's name of it


class BeamWriter:
    """Writes shards with Apache Beam.

    out: a folder that all workers see, as all inputs. options: of the pipeline, as on its command line.
    """

    def __init__(self, inputs: Inputs, out: Path, options: str):
        self.inputs, self.out, self.options = inputs, out, shlex.split(options)

    def survey(self) -> Survey:
        """As `token_shards.Writer` says."""
        with tempfile.TemporaryDirectory(prefix=".survey.", dir=nearest_existing(self.out)) as folder:
            path = Path(folder) / "survey.json"
            _run_apart(_survey, self.inputs, self.options, path)
            return Survey(**read_json(path))

    def write(self, folder: Path, survey: Survey) -> tuple[list[tfds.core.SplitInfo], Mapping[str, Counts]]:
        """As `token_shards.Writer` says."""
        writers = {split: _split_writer(folder, split) for split in survey.splits}
        with tempfile.TemporaryDirectory(prefix=".counts.", dir=folder) as counted:
            _run_apart(_write, self.inputs, self.options, writers, Path(counted))
            counts = {split: _read_counts(Path(counted), split) for split in survey.splits}
        return [_split_info(folder, split, writer) for split, writer in writers.items()], counts


def _run_apart(run: Callable[..., None], *args: Any) -> None:
    """Calls a function that runs a pipeline, in a process that ends with its workers: they are one group.
    Halted if it fails.
    """
    process = multiprocessing.get_context("spawn").Process(target=_lead_group, args=(run, *args))
    process.start()
    try:
        process.join()
    finally:
        if process.exitcode != 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    if process.exitcode != 0:
        raise Halted("the pipeline failed, see above: nothing is written; run the same command again")


def _lead_group(run: Callable[..., None], *args: Any) -> None:
    os.setsid()
    threading.excepthook = _end_with_thread
    run(*args)


def _end_with_thread(failed: threading.ExceptHookArgs) -> None:
    """DirectRunner waits without end for a worker process that was killed: the thread that started it fails,
    and nobody looks.
    """
    print(f"error: {failed.exc_value}", file=sys.stderr, flush=True)
    if failed.thread is not None and failed.thread.name == WORKER_THREAD:
        os.killpg(0, signal.SIGKILL)


def _survey(inputs: Inputs, options: Sequence[str], path: Path) -> None:
    with _pipeline(options) as pipeline:
        groups = _read(pipeline, inputs)
        found = {"repeated": _repeated(groups), "splits": _splits(groups), "leaked": _leaked(groups)}
        nothing = pipeline | "Once" >> beam.Create([None])
        _ = nothing | "WriteSurvey" >> beam.Map(_write_survey, path, **found)


def _write(
    inputs: Inputs, options: Sequence[str], writers: Mapping[str, tfds_writer.BeamWriter], counted: Path
) -> None:
    with _pipeline(options) as pipeline:
        examples = beam.ParDo(MakeExamples(inputs)).with_outputs(COUNTS, main="examples")
        made = _read(pipeline, inputs) | "Tokenise" >> examples
        for split, writer in writers.items():
            rows = made.examples | f"Only {split}" >> beam.FlatMap(_only, split)
            _ = rows | f"Write {split}" >> _WriteSplit(writer)
        summed = made[COUNTS] | "SumCounts" >> beam.CombinePerKey(_sum_counts)
        _ = summed | "WriteCounts" >> beam.Map(_write_counts, counted)


def _pipeline(flags: Sequence[str]) -> beam.Pipeline:
    options = PipelineOptions([*flags])
    # Beam expects one type of all outputs of a step
    options.view_as(TypeOptions).pipeline_type_check = False
    return beam.Pipeline(options=options)


def _read(pipeline: beam.Pipeline, inputs: Inputs) -> beam.PCollection:
    """Groups of rows, on any worker."""
    parts = pipeline | "Parts" >> beam.Create(inputs.open().parts) | "OneEach" >> beam.Reshuffle()
    return parts | "Read" >> beam.ParDo(ReadGroups(inputs)) | "Spread" >> beam.Reshuffle()


class _Opened(beam.DoFn):
    """Opens the inputs once in each worker. A worker is one process for one core, so it gets one thread."""

    def __init__(self, inputs: Inputs):
        self.inputs = inputs
        self.contents: Contents

    def setup(self) -> None:
        """As Beam says."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.contents = dataclasses.replace(self.inputs.open(), threads=1)


class ReadGroups(_Opened):
    """A part becomes groups of its rows."""

    def process(self, part: Part) -> Iterator[list[dict]]:
        """As Beam says."""
        yield from grouped(self.contents.read(part), GROUP_ROWS, GROUP_LETTERS)


class MakeExamples(_Opened):
    """A group of rows becomes what is stored of them, and their counts."""

    def process(self, rows: list[dict]) -> Iterator[Any]:
        """As Beam says."""
        counts = self.contents.new_counts()
        yield from self.contents.examples(rows, self.contents.records(rows), counts)
        for split, count in counts.items():
            yield TaggedOutput(COUNTS, (split, count))


class _WriteSplit(beam.PTransform):
    """The rows of a split, by key, become its files."""

    def __init__(self, writer: tfds_writer.BeamWriter):
        super().__init__()
        self.writer = writer

    def expand(self, input_or_inputs):
        """As Beam says."""
        return self.writer.write_from_pcollection(input_or_inputs)


class _AsStored:
    """In place of TFDS's serializer: rows are bytes already."""

    def serialize_example(self, example: bytes) -> bytes:
        """The row."""
        return example


def _split_writer(folder: Path, split: str) -> tfds_writer.BeamWriter:
    return tfds_writer.BeamWriter(
        serializer=_AsStored(),  # type: ignore[arg-type]
        filename_template=template_of(folder, DATASET, split),
        hash_salt=split,
        disable_shuffling=False,
        example_writer=tfds_writer.ExampleWriter(FileFormat.ARRAY_RECORD),
        shard_config=file_count(),
    )


def _split_info(folder: Path, split: str, writer: tfds_writer.BeamWriter) -> tfds.core.SplitInfo:
    lengths, size = writer.finalize()
    return tfds.core.SplitInfo(split, lengths, size, template_of(folder, DATASET, split))


def _only(example: Example, split: str) -> Iterator[tuple[bytes, bytes]]:
    """The key, as bytes since TFDS changes backslashes of strings, and the row of an example of a split."""
    if example.split == split:
        yield example.key.encode(), example.stored


def _sum_counts(counts: Iterable[Counts]) -> Counts:
    counts = list(counts)
    return total(counts, counts[0].vocabulary)


def _write_counts(counted: tuple[str, Counts], folder: Path) -> None:
    split, counts = counted
    write_bytes(folder / split, pickle.dumps(counts))


def _read_counts(folder: Path, split: str) -> Counts:
    return pickle.loads((folder / split).read_bytes())


def _splits(groups: beam.PCollection) -> AsIter:
    names = groups | "Splits" >> beam.FlatMap(lambda rows: {row["split"] for row in rows})
    return AsIter(names | "EachSplit" >> beam.Distinct())


def _repeated(groups: beam.PCollection) -> AsIter:
    """Keys of rows that an earlier row has, as often as they come again."""
    keys = groups | "Keys" >> beam.FlatMap(lambda rows: [key_of(row["split"], row["id"]) for row in rows])
    counted = keys | "CountKeys" >> beam.combiners.Count.PerElement()
    return AsIter(counted | "Repeated" >> beam.FlatMap(lambda pair: [pair[0]] * (pair[1] - 1)))


def _leaked(groups: beam.PCollection) -> AsSingleton:
    """How many rows for training have a sentence of a held-out split."""
    held = groups | "HeldOut" >> beam.FlatMap(_held_sentences)
    together = AsSingleton(held | "AllHeldOut" >> beam.CombineGlobally(beam.combiners.ToSetCombineFn()))
    leaks = groups | "Leaks" >> beam.Map(_count_leaks, together)
    return AsSingleton(leaks | "SumLeaks" >> beam.CombineGlobally(sum))


def _held_sentences(rows: list[dict]) -> set[int]:
    held = (sentence_of(row) for row in rows if row["split"] not in TRAINING_SPLITS)
    return {sentence for sentence in held if sentence is not None}


def _count_leaks(rows: list[dict], held: set[int]) -> int:
    if not held:
        return 0
    return sum(row["split"] in TRAINING_SPLITS and sentence_of(row) in held for row in rows)


def _write_survey(_: None, path: Path, splits: Iterable[str], repeated: Iterable[str], leaked: int) -> None:
    write_json(path, {"splits": sorted(splits), "repeated": sorted(repeated), "leaked": leaked})
