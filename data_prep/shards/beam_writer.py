"""Shards through Apache Beam: the same rows in the same files, on any runner.

Files of units and corpora of texts are read in parallel, one worker each. Their rows are then tokenised in
groups, which the runner spreads over its workers, and put in order by it, file by file. A worker opens the
inputs by their paths, and writes a file under another name until it is whole; so what a worker did can be
done again. Rows travel in groups, and a group as compressed bytes: a runner's time goes by the values that it
moves, and by their bytes.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import multiprocessing
import operator
import os
import pickle
import shlex
import signal
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam  # pyright: ignore[reportMissingImports]
import tensorflow_datasets as tfds
import zstandard
from apache_beam.options.pipeline_options import PipelineOptions, TypeOptions  # pyright: ignore[reportMissingImports]
from apache_beam.pvalue import AsDict, AsIter, AsSingleton, TaggedOutput  # pyright: ignore[reportMissingImports]

from data_prep.shards import shard_files
from data_prep.shards.contents import Contents, Inputs, Part, grouped
from data_prep.shards.counts import Counts, total
from data_prep.shards.shard_files import Row, Size, hash_key, pack_rows, unpack_rows, write_file
from data_prep.shards.survey import Survey, key_of
from spirit_jax.core.errors import Halted
from spirit_jax.core.files import nearest_existing, read_json, write_atomically, write_bytes, write_json
from spirit_jax.core.process_setup import set_up_heap
from spirit_jax.datasets.shards import DATASET
from spirit_jax.datasets.splits import TRAINING_SPLITS, sentence_of

GROUP_ROWS, GROUP_LETTERS = 128, 2**18  # rows that travel and are tokenised together
COMPRESSION = 1  # zstd's level: less time than moving the bytes that it saves
SEEN_ROWS, SLOTS = 2**14, 64  # rows that are seen together; slots of their keys, which are compared
COUNTS, SIZE, FILES = "counts", "size", "files"
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
        with tempfile.TemporaryDirectory(prefix=".written.", dir=folder) as written:
            files = Files(Path(written), shard_files.FILE_BYTES)
            _run_apart(_write, self.inputs, self.options, files)
            splits = [_name_files(files, folder, split) for split in survey.splits]
            return splits, {split: files.read(split, COUNTS) for split in survey.splits}


@dataclasses.dataclass(frozen=True)
class Files:
    """What workers write into a folder: the files of each split by their places, and what is found of it.
    file_bytes: of the rows of one file, about.
    """

    folder: Path
    file_bytes: int

    def partial(self, split: str, place: int) -> Path:
        """The file at a place."""
        return self.folder / f"{split}.{place}"

    def store(self, found: tuple[str, Any], kind: str) -> None:
        """Keeps what was found of a split."""
        split, value = found
        write_bytes(self.folder / f"{split}.{kind}", pickle.dumps(value))

    def read(self, split: str, kind: str) -> Any:
        """What `store` kept."""
        return pickle.loads((self.folder / f"{split}.{kind}").read_bytes())


def _name_files(files: Files, folder: Path, split: str) -> tfds.core.SplitInfo:
    written = dict(sorted(files.read(split, FILES)))  # rows by place
    partials = [files.partial(split, place) for place in written]
    size, template = files.read(split, SIZE).bytes, shard_files.template_of(folder, DATASET, split)
    return shard_files.name_files(partials, list(written.values()), size, template)


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
    set_up_heap()
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
        parts = _parts(pipeline, inputs)
        seen = parts | "See" >> beam.ParDo(SeeRows(inputs))
        held = AsSingleton(_union(seen, "held"))
        leaks = parts | "Leaks" >> beam.ParDo(CountLeaks(inputs), held)
        found = {
            "splits": AsSingleton(_union(seen, "splits")),
            "repeated": _repeated(seen),
            "leaked": AsSingleton(leaks | "SumLeaks" >> beam.CombineGlobally(sum)),
        }
        nothing = pipeline | "Once" >> beam.Create([None])
        _ = nothing | "WriteSurvey" >> beam.Map(_write_survey, path, **found)


def _write(inputs: Inputs, options: Sequence[str], files: Files) -> None:
    with _pipeline(options) as pipeline:
        made = _read(pipeline, inputs) | "Tokenise" >> beam.ParDo(MakeRows(inputs)).with_outputs(
            COUNTS, SIZE, main="rows"
        )
        sizes = made[SIZE] | "Sizes" >> beam.CombinePerKey(_add_up)
        groups = made.rows | "Assign" >> beam.FlatMap(_assign, AsDict(sizes), files.file_bytes)
        written = groups | "ByFile" >> beam.GroupByKey() | "WriteFile" >> beam.Map(_write_file, files)
        found = {
            COUNTS: made[COUNTS] | "Counts" >> beam.CombinePerKey(_sum_counts),
            SIZE: sizes,
            FILES: written | "Files" >> beam.CombinePerKey(beam.combiners.ToListCombineFn()),
        }
        for kind, by_split in found.items():
            _ = by_split | f"Store {kind}" >> beam.Map(files.store, kind)


def _pipeline(flags: Sequence[str]) -> beam.Pipeline:
    options = PipelineOptions([*flags])
    # Beam expects one type of all outputs of a step
    options.view_as(TypeOptions).pipeline_type_check = False
    return beam.Pipeline(options=options)


def _parts(pipeline: beam.Pipeline, inputs: Inputs) -> beam.PCollection:
    """What is read, each part on any worker."""
    return pipeline | "Parts" >> beam.Create(inputs.open().parts) | "OneEach" >> beam.Reshuffle()


def _read(pipeline: beam.Pipeline, inputs: Inputs) -> beam.PCollection:
    """Groups of rows, on any worker."""
    groups = _parts(pipeline, inputs) | "Read" >> beam.ParDo(ReadGroups(inputs))
    return groups | "Spread" >> beam.Reshuffle()


class _Opened(beam.DoFn):
    """Opens the inputs once in each worker. A worker is one process for one core, so it gets one thread."""

    def __init__(self, inputs: Inputs):
        self.inputs = inputs
        self.contents: Contents

    def setup(self) -> None:
        """As Beam says."""
        set_up_heap()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.contents = dataclasses.replace(self.inputs.open(), threads=1)


class Seen(NamedTuple):
    """What the survey needs of some rows: names of splits, sentences that are held out, keys by slot."""

    splits: set[str]
    held: set[int]
    keys: dict[int, list[str]]


class SeeRows(_Opened):
    """A part becomes what is seen of its rows: they stay where they are read."""

    def process(self, part: Part) -> Iterator[Seen]:
        """As Beam says."""
        rows = iter(self.contents.read(part))
        while some := list(itertools.islice(rows, SEEN_ROWS)):
            yield _see(some)


class CountLeaks(_Opened):
    """A part becomes the number of its rows for training that have a sentence of a held-out split."""

    def process(self, part: Part, held: set[int]) -> Iterator[int]:
        """As Beam says."""
        training = (row for row in self.contents.read(part) if row["split"] in TRAINING_SPLITS)
        yield sum(sentence_of(row) in held for row in training) if held else 0


class ReadGroups(_Opened):
    """A part becomes groups of its rows."""

    def process(self, part: Part) -> Iterator[bytes]:
        """As Beam says."""
        for group in grouped(self.contents.read(part), GROUP_ROWS, GROUP_LETTERS):
            yield zstandard.compress(pickle.dumps(group), COMPRESSION)


class MakeRows(_Opened):
    """A group of rows becomes what is stored of them, their size and their counts, each by split."""

    def process(self, rows: bytes) -> Iterator[Any]:
        """As Beam says."""
        made = self.contents.make(pickle.loads(zstandard.decompress(rows)))
        for split, count in made.counts.items():
            salt = hashlib.md5(split.encode())
            examples = (example for example in made.examples if example.split == split)
            group = [(hash_key(salt, key), stored) for _, key, stored in examples]
            yield split, _pack(group)
            yield TaggedOutput(SIZE, (split, Size.of(group)))
            yield TaggedOutput(COUNTS, (split, count))


def _assign(
    group: tuple[str, bytes], sizes: Mapping[str, Size], file_bytes: int
) -> Iterator[tuple[tuple[str, int], bytes]]:
    """The rows by split and place of the file."""
    split, rows = group
    by_place = collections.defaultdict(list)
    place_of = sizes[split].places(file_bytes)
    for row in _unpack(rows):
        by_place[place_of(row)].append(row)
    return (((split, place), _pack(some)) for place, some in by_place.items())


def _write_file(file: tuple[tuple[str, int], Iterable[bytes]], files: Files) -> tuple[str, tuple[int, int]]:
    """Writes a file; returns its split, and its place with how many rows it has."""
    (split, place), groups = file
    rows = sorted(row for group in groups for row in _unpack(group))
    with write_atomically(files.partial(split, place)) as path:
        return split, (place, write_file(path, rows))


def _pack(rows: Iterable[Row]) -> bytes:
    return zstandard.compress(b"".join(pack_rows(rows)), COMPRESSION)


def _unpack(group: bytes) -> Iterator[Row]:
    return unpack_rows(io.BytesIO(zstandard.decompress(group)))


def _add_up(sizes: Iterable[Size]) -> Size:
    return functools.reduce(operator.add, sizes)


def _sum_counts(counts: Iterable[Counts]) -> Counts:
    counts = list(counts)
    return total(counts, counts[0].vocabulary)


def _see(rows: Sequence[Mapping[str, Any]]) -> Seen:
    keys = collections.defaultdict(list)
    for row in rows:
        key = key_of(row["split"], row["id"])
        keys[zlib.crc32(key.encode()) % SLOTS].append(key)
    held = {sentence_of(row) for row in rows if row["split"] not in TRAINING_SPLITS}
    return Seen({row["split"] for row in rows}, held - {None}, dict(keys))


def _union(seen: beam.PCollection, name: str) -> beam.PCollection:
    sets = seen | f"Each {name}" >> beam.Map(lambda one: getattr(one, name))
    return sets | f"All {name}" >> beam.CombineGlobally(lambda some: set().union(*some))


def _repeated(seen: beam.PCollection) -> AsIter:
    """Keys of rows that an earlier row has, as often as they come again. Equal ones are in one slot."""
    slots = seen | "Slots" >> beam.FlatMap(lambda one: one.keys.items()) | "BySlot" >> beam.GroupByKey()
    return AsIter(slots | "Repeated" >> beam.FlatMap(_find_repeated))


def _find_repeated(slot: tuple[int, Iterable[list[str]]]) -> Iterator[str]:
    for key, count in collections.Counter(itertools.chain.from_iterable(slot[1])).items():
        yield from [key] * (count - 1)


def _write_survey(_: None, path: Path, splits: Iterable[str], repeated: Iterable[str], leaked: int) -> None:
    write_json(path, {"splits": sorted(splits), "repeated": sorted(repeated), "leaked": leaked})
