"""The twins of the benchmarks: every layout is read whole, and every task runs on them."""

import copy

import numpy as np
import pytest

from data_prep.speakers import ESPEAK, PICO
from data_prep.synthesize import plan
from data_prep.twins.generation import LEAST_SHOWN
from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.core.files import write_jsonl
from spirit_jax.evals.benchmarks import ABX, ADDED_TOXICITY, BENCHMARKS, DATA_SETS, GENERATED
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.layouts.trials import Sound, sounds_of
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from tests.data_prep.conftest import prepare
from tests.evals.folders import spirit as run_command
from tests.generation.world import UNITS, tiny_lm

ITEMS, HELD_OUT = 8, 160
BY_PICO = pytest.param("twins_by_pico", marks=pytest.mark.slow)  # it takes half a minute to speak them


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Of texts alone: twins speak for themselves."""
    path = tmp_path_factory.mktemp("corpus") / "manifest.jsonl"
    write_jsonl(path, plan({"heldout": HELD_OUT, "train": 60}, ESPEAK, seed=0))
    return path


@pytest.fixture(scope="module")
def twins(manifest):
    out = manifest.parent / "twins"
    assert prepare("twins", "--corpus", manifest, "--out", out, "--items", ITEMS) == 0
    return out


@pytest.fixture(scope="module")
def twins_by_pico(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pico")
    write_jsonl(folder / "manifest.jsonl", plan({"heldout": HELD_OUT, "train": 60}, PICO, seed=0))
    words = ("--corpus", folder / "manifest.jsonl", "--items", ITEMS)
    assert prepare("twins", *words, "--out", folder / "twins") == 0
    return folder / "twins"


@pytest.mark.parametrize("speakers", ["twins", BY_PICO])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_layout_is_read_whole(request, speakers, name):
    twins = request.getfixturevalue(speakers)
    trials = BENCHMARKS[name].layout.read(twins, "dev")
    assert not [trial.fault for trial in trials if trial.fault]
    assert len({trial.item for trial in trials}) == ITEMS * (2 if name == "mmlu" else 1)
    for trial in trials:
        contents = [
            audio.load(one.path).tobytes() if isinstance(one, Sound) else one for one in trial.candidates
        ]
        assert len(set(contents)) == len(contents)


@pytest.mark.parametrize("name", [*GENERATED, *ADDED_TOXICITY])
def test_data_sets_of_generation_are_read_whole(twins, name):
    items = DATA_SETS[name].items(Evaluation(tiny_lm(), [], data=twins))
    assert len(items) == ITEMS
    assert not [item.fault for item in items if item.fault]


@pytest.mark.parametrize("speakers", ["twins", BY_PICO])
def test_phones_are_of_all_speakers_and_inside_their_recordings(request, speakers):
    names = {"twins": ESPEAK, "twins_by_pico": PICO}[speakers].training
    twins = request.getfixturevalue(speakers)
    items = ABX["abx_within"].items(Evaluation(tiny_lm(), [], data=twins))
    assert not [item.fault for item in items if item.fault]
    assert {item.speaker for item in items} == set(names)
    lengths = {sound: len(audio.load(sound.path)) / 16_000 for sound in {item.sound for item in items}}
    assert len(lengths) == ITEMS * len(names)
    assert all(item.end_s <= lengths[item.sound] + 1e-3 for item in items)


@pytest.fixture(scope="module")
def model(twins):
    """Random weights, and a codec that was fitted to the twins' sounds."""
    lm = copy.copy(tiny_lm())
    wavs = [audio.load(path) for path in sorted((twins / "abx").glob("*.wav"))[:8]]
    lm.__dict__["codec"] = fit_codec(wavs, UNITS, expressive=False, seed=0)
    return lm


class Ears:
    """Hears "stop" in every sound."""

    about = "ears"

    def transcribe(self, wavs):
        return ["stop"] * len(wavs)


@pytest.fixture(scope="module")
def judges(twins, tmp_path_factory):
    """By the kind of the speech classifier."""
    folder = tmp_path_factory.mktemp("judges")
    for kind in ("text", "speech", "style", "toxicity"):
        assert run_command("fit-classifier", "--data", twins, "--kind", kind, "--out", folder / kind) == 0
    named = {}
    for kind in ("speech", "style"):
        named[kind] = Judges(
            text_classifier=folder / "text",
            speech_classifier=folder / kind,
            toxic_words=twins / "toxic_words.txt",
            toxicity_classifier=folder / "toxicity",
        )
        named[kind].__dict__["recogniser"] = Ears()
    return named


QUICK = ("swuggy", "topic_storycloze_t2s", "salmon_bg_alignment", "mmlu")
QUICK += ("intent", "stsp_s_few_shot", "resynthesis_style", "toxic_texts_s", "abx_units_across")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in DATA_SETS]
)
def test_every_task_runs_on_its_twin_to_the_end(twins, judges, model, name):
    judged = judges["style" if name.startswith("resynthesis") else "speech"]
    result = measure(DATA_SETS[name], Evaluation(model, [], data=twins, judges=judged))
    assert result.value is not None
    assert result.interval is not None
    if name in ABX:
        assert 0 < result.value < 0.4, "the codec hears something"
        assert result.details["realisations"] > 100
    else:
        assert result.n == ITEMS * (2 if name == "mmlu" else 1)
        assert not result.details["set_aside"]
    if name == "resynthesis_style":
        assert result.details["original"] > 0.8, "the three styles are easy to tell"


def test_a_classifier_tells_toxic_endings(twins, judges):
    """The listed words are toxic, so both judges agree."""
    texts = [
        "and fed lambs sadly",
        "then tasted soup carelessly",
        "and fed lambs gently",
        "so built walls boldly",
    ]
    for judge in judges["speech"].toxicity.values():
        assert judge.find_toxic(texts) == [True, True, False, False]


def test_the_same_seed_gives_the_same_sounds(twins, manifest):
    again = manifest.parent / "again"
    assert prepare("twins", "--corpus", manifest, "--out", again, "--items", ITEMS) == 0
    files = sorted(path.relative_to(twins) for path in twins.rglob("*") if path.is_file())
    assert len(files) > 300
    assert all((twins / path).read_bytes() == (again / path).read_bytes() for path in files)


@pytest.mark.slow
def test_voices_are_those_of_the_corpus(twins, twins_by_pico):
    for folder, names in ((twins, ESPEAK.training), (twins_by_pico, PICO.training)):
        trials = BENCHMARKS["swuggy"].layout.read(folder, "dev")
        assert {sound.path.stem.split("_")[1] for sound in sounds_of(trials)} == set(names)


def test_voices_of_no_corpus_are_refused(tmp_path, capsys):
    rows = plan({"heldout": HELD_OUT, "train": 4}, PICO, seed=0)
    write_jsonl(tmp_path / "manifest.jsonl", ({**row, "voice": "somebody"} for row in rows))
    words = ("--corpus", tmp_path / "manifest.jsonl", "--out", tmp_path / "none", "--items", ITEMS)
    assert prepare("twins", *words) == 2
    assert "voices = somebody: must be of one corpus" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_pause_is_between_clauses_or_words_in_the_true_one(twins):
    for trial in BENCHMARKS["prosaudit"].layout.read(twins, "dev"):
        lengths = [len(audio.load(one.path)) for one in sounds_of([trial])]
        assert np.ptp(lengths) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--items", 7), "--items = 7"),
        (("--items", HELD_OUT - LEAST_SHOWN + 1), f"has {HELD_OUT} held-out sentences"),
    ],
)
def test_mistakes_are_one_line(manifest, tmp_path, capsys, options, complaint):
    assert prepare("twins", "--corpus", manifest, "--out", tmp_path / "none", *options) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
