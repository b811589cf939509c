"""Each pair of an import and a recipe in the docs: the recipe starts from what the import writes."""

import dataclasses
import re
from pathlib import Path

import pytest

from spirit_jax.config import ARCHITECTURE, RunConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import load, override
from spirit_jax.model.checkpoint import find_stored_model
from spirit_jax.model_io import hf_config
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.training.start_weights import check_start
from tests.model_io.folders.families import CONFIGS, write_small, write_tokenizers
from tests.model_io.test_command import convert
from tests.verbs import ROOT

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
