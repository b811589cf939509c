"""Each pair of an import and a recipe in the docs: the recipe starts from what the import writes."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest

from spirit_jax.cli import COMMANDS
from spirit_jax.config import ARCHITECTURE, RunConfig
from spirit_jax.core import commands
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import load, override
from spirit_jax.datasets.shards import Layout, Metadata
from spirit_jax.model.checkpoint import find_stored_model
from spirit_jax.model_io import hf_config
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.training.start_weights import check_start
from tests.model_io.folders.families import CONFIGS, write_small, write_tokenizers
from tests.model_io.test_command import convert
from tests.verbs import ROOT
from tests.written_units import write_rows

PAGE = (ROOT / "docs/weights.md").read_text()


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROWS = [
    line.strip("|").split("|")
    for line in PAGE.splitlines()
    if line.startswith("|") and "tpu_configs/" in line
]
PAIRS = [
    (model.strip(), " ".join(spans(options)), str(path.relative_to(ROOT)), spans(settings))
    for model, options, patterns, settings in ROWS
    for pattern in spans(patterns)
    for path in sorted(ROOT.glob(pattern))
]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """By model and options: what `convert import` writes from a small folder, and the sizes to set."""
    root = tmp_path_factory.mktemp("imported")
    pieces, made = write_tokenizers(root), {}
    for number, (model, options) in enumerate(sorted({pair[:2] for pair in PAIRS})):
        source, sizes = write_small(model, root / f"source{number}", pieces)
        assert convert("import", source, root / str(number), *options.split()) == 0
        made[model, options] = root / str(number), sizes
    return made


@pytest.mark.parametrize(("model", "options", "recipe", "settings"), PAIRS)
def test_the_recipe_starts_from_the_imported_weights(imported, model, options, recipe, settings):
    folder, sizes = imported[model, options]
    stored = find_stored_model(folder)
    sizes = {**sizes, "rows": stored.model.rows}
    changes = [f"checkpoint.init_from={folder}", *(f"model.{key}={value}" for key, value in sizes.items())]
    config = override(load(ROOT / recipe, RunConfig), [*settings, *changes])
    check_start(config, stored.vocabulary, TextTokenizer.load(folder).fingerprint)


def write_sources(root: Path, folder: Path) -> None:
    """The sources that the recipes name, in small, with the tokenizer and the streams of a weights folder."""
    vocabulary, tokenizer = find_stored_model(folder).vocabulary, TextTokenizer.load(folder)
    codes = {stream.name: [7] * max(1, int(stream.rate)) for stream in vocabulary.streams}
    codes["units"] = list(range(24))
    speech = {"audio": "a.wav", "duration_s": 1.0, "words": [["the", 0.2, 0.4], ["cat", 0.4, 0.8]], **codes}
    silent = {"audio": None, "words": None, "duration_s": None}
    for name, values in (("speech", speech), ("aligned", speech), ("text", silent)):
        rows = [
            {
                "id": f"{split}{index}",
                "text": "the cat",
                "voice": "v",
                "source": "s",
                "split": split,
                **values,
            }
            for split in ("train", "heldout")
            for index in range(16)
        ]
        written = vocabulary if name != "text" else dataclasses.replace(vocabulary, streams=())
        made_with = "0" * 16 if name != "text" else None
        metadata = Metadata(Layout.ALIGNED, written, tokenizer.fingerprint, made_with)
        write_rows(rows, root / "shards" / name, tokenizer, metadata)


@pytest.fixture(scope="module")
def sources(imported, tmp_path_factory):
    """By model and options: a folder with what the recipes name."""
    made = {}
    for number, (key, (folder, _)) in enumerate(imported.items()):
        made[key] = tmp_path_factory.mktemp(f"root{number}")
        write_sources(made[key], folder)
    return made


def on_eight_devices(config: RunConfig) -> list[str]:
    """Settings that bring a recipe's mesh and batch to eight devices: an axis that splits, splits in two, and
    the rest is for fsdp.
    """
    axes = {axis: min(getattr(config.mesh, axis), 2) for axis in ("data", "context", "tensor")}
    axes["fsdp"] = 8 // math.prod(axes.values())
    accumulate = min(config.train.accumulate, 2)
    return [
        *(f"mesh.{axis}={size}" for axis, size in axes.items()),
        *("train.steps=1", "data.sequence_length=64", "data.codec=null", f"train.accumulate={accumulate}"),
        *(f"train.batch_rows={8 * accumulate}", f"data.streams={8 * accumulate}"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "options", "recipe", "settings"), PAIRS)
def test_the_recipe_trains_a_step(imported, sources, tmp_path, model, options, recipe, settings):
    folder, sizes = imported[model, options]
    sizes = {**sizes, "rows": find_stored_model(folder).model.rows}
    changes = [
        *settings,
        f"checkpoint.init_from={folder}",
        f"data.tokenizer={folder}",
        *(f"model.{key}={value}" for key, value in sizes.items()),
        *on_eight_devices(load(ROOT / recipe, RunConfig)),
    ]
    argv = ["train", "--config", str(ROOT / recipe), "--root", str(sources[model, options])]
    argv += ["--out", str(tmp_path / "run"), "--set", *changes]
    assert commands.run("python -m spirit_jax", "", COMMANDS, argv) == 0
    first = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert math.isfinite(first["loss"]), "random weights of a small folder, so any number"
    assert (first["step"], first["skipped_steps"]) == (1, 0)


@pytest.mark.parametrize(("model", "options", "recipe", "settings"), PAIRS)
def test_the_recipe_has_the_published_sizes(imported, model, options, recipe, settings):
    config = override(load(ROOT / recipe, RunConfig), settings).model
    published = hf_config.read(CONFIGS[model], Path("folder"))
    assert {key: getattr(config, key) for key in ARCHITECTURE} == {
        key: getattr(published, key) for key in ARCHITECTURE
    }
    vocabulary = find_stored_model(imported[model, options][0]).vocabulary
    text = 32_000 if vocabulary.bos == 1 else 128_256
    assert dataclasses.replace(vocabulary, text_size=text, bos=1, eos=2, unk=0).rows() == config.rows


def test_every_recipe_that_starts_from_weights_is_in_the_table():
    recipes = {
        str(path.relative_to(ROOT))
        for room in ("pods", "gpus")
        for path in (ROOT / "tpu_configs" / room).glob("[!_]*.py")
    }
    assert recipes == {recipe for _, _, recipe, _ in PAIRS}
    commands = re.findall(r"convert import (\S+) \S+(.*)", PAGE)
    assert len(commands) == 3
    for source, options in commands:
        model = Path(source).name
        plain = re.sub(r" --codec \S+", "", options).strip()
        assert (model, plain) in {pair[:2] for pair in PAIRS}


def test_a_small_recipe_starts_from_imported_weights_once_the_errors_are_followed(imported):
    """As docs/training.md says: the error names what differs."""
    folder, _ = imported["Llama-3.2-1B", "--init normal"]
    stored = find_stored_model(folder)
    settings = [f"checkpoint.init_from={folder}"]
    for _ in range(20):
        config = override(load(ROOT / "tpu_configs/local/small_cpu.py", RunConfig), settings)
        try:
            check_start(config, stored.vocabulary, TextTokenizer.load(folder).fingerprint)
        except UserError as error:
            settings.append(error.fix.removeprefix("set "))
        else:
            break
    else:
        pytest.fail("\n".join(settings))
    assert {"model.tied=true", "model.layers=1"} <= set(settings)
