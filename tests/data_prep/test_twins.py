"""The twins of the benchmarks: every layout is read whole, and every task runs on them."""

import numpy as np
import pytest

from data_prep.generation_twins import LEAST_SHOWN
from data_prep.speakers import ESPEAK
from data_prep.synthesize import plan
from spirit_jax.core.files import write_jsonl
from spirit_jax.evals.benchmarks import BENCHMARKS, GENERATED
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.layouts.trials import Sound, sounds_of
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from tests.data_prep.conftest import prepare
from tests.evals.folders import spirit as run_command
from tests.generation.world import tiny_lm

ITEMS = 8


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Of texts alone: twins speak for themselves."""
    path = tmp_path_factory.mktemp("corpus") / "manifest.jsonl"
    write_jsonl(path, plan({"heldout": ITEMS + LEAST_SHOWN, "train": 60}, ESPEAK, seed=0))
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


@pytest.mark.parametrize("name", GENERATED)
def test_data_sets_of_generation_are_read_whole(twins, name):
    items = GENERATED[name].items(Evaluation(tiny_lm(), [], data=twins))
    assert len(items) == ITEMS
    assert not [item.fault for item in items if item.fault]


def test_classifiers_learn_from_them_and_tasks_run_to_the_end(twins, tmp_path):
    for kind in ("text", "speech", "style"):
        assert run_command("fit-classifier", "--data", twins, "--kind", kind, "--out", tmp_path / kind) == 0
    for kind, name in (("speech", "stsp_s_few_shot"), ("style", "resynthesis_style")):
        judges = Judges(text_classifier=tmp_path / "text", speech_classifier=tmp_path / kind)
        result = measure(GENERATED[name], Evaluation(tiny_lm(), [], data=twins, judges=judges))
        assert (result.n, result.details["set_aside"]) == (ITEMS, {})
    assert result.details["original"] > 0.8, "the three styles are easy to tell"


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
    [(("--items", 7), "--items = 7"), (("--items", 9), f"has {ITEMS + LEAST_SHOWN} held-out sentences")],
)
def test_mistakes_are_one_line(manifest, tmp_path, capsys, options, complaint):
    assert prepare("twins", "--corpus", manifest, "--out", tmp_path / "none", *options) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
