"""The twins of the benchmarks: every layout is read whole, and every task runs on them."""

import numpy as np
import pytest

from data_prep.synthesize import plan
from spirit_jax.core.files import write_jsonl
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.layouts.trials import Sound, sounds_of
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from tests.data_prep.conftest import prepare
from tests.generation.world import tiny_lm

ITEMS = 8


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Of texts alone: twins speak for themselves."""
    path = tmp_path_factory.mktemp("corpus") / "manifest.jsonl"
    write_jsonl(path, plan({"heldout": ITEMS + 5, "train": 60}, seed=0))
    return path


@pytest.fixture(scope="module")
def twins(manifest):
    out = manifest.parent / "twins"
    assert prepare("twins", "--corpus", manifest, "--out", out, "--items", ITEMS) == 0
    return out


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_layout_is_read_whole(twins, name):
    trials = BENCHMARKS[name].layout.read(twins, "dev")
    assert not [trial.fault for trial in trials if trial.fault]
    assert len({trial.item for trial in trials}) == ITEMS * (2 if name == "mmlu" else 1)
    for trial in trials:
        contents = [
            audio.load(one.path).tobytes() if isinstance(one, Sound) else one for one in trial.candidates
        ]
        assert len(set(contents)) == len(contents)


@pytest.mark.parametrize("name", ["swuggy", "topic_storycloze_t2s", "salmon_bg_alignment", "mmlu"])
def test_tasks_run_on_them(twins, name):
    result = measure(BENCHMARKS[name], Evaluation(tiny_lm(), [], data=twins))
    assert result.n == ITEMS * (2 if name == "mmlu" else 1)
    assert 0 <= result.value <= 1


def test_the_same_seed_gives_the_same_sounds(twins, manifest):
    again = manifest.parent / "again"
    assert prepare("twins", "--corpus", manifest, "--out", again, "--items", ITEMS) == 0
    files = sorted(path.relative_to(twins) for path in twins.rglob("*") if path.is_file())
    assert len(files) > 300
    assert all((twins / path).read_bytes() == (again / path).read_bytes() for path in files)


def test_a_pause_is_between_clauses_or_words_in_the_true_one(twins):
    for trial in BENCHMARKS["prosaudit"].layout.read(twins, "dev"):
        lengths = [len(audio.load(one.path)) for one in sounds_of([trial])]
        assert np.ptp(lengths) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(("--items", 7), "--items = 7"), (("--items", 9), "has 13 held-out sentences")],
)
def test_mistakes_are_one_line(manifest, tmp_path, capsys, options, complaint):
    assert prepare("twins", "--corpus", manifest, "--out", tmp_path / "none", *options) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
