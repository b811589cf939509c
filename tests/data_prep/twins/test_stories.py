"""Stories of a split: both layouts are whole, and the voice is the sentence's."""

import pytest

from data_prep.speakers import ACCENTS
from data_prep.synthesize import plan
from data_prep.twins.stories import find_sentences
from spirit_jax.core.files import read_jsonl, write_jsonl
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.layouts.trials import sounds_of
from spirit_jax.speech import audio
from tests.data_prep.conftest import prepare

ITEMS = 8
STORIES = [f"{kind}_{way}" for kind in ("storycloze", "topic_storycloze") for way in ("t", "s", "t2s", "s2t")]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "manifest.jsonl"
    write_jsonl(path, plan({"heldout": ITEMS, "heldout_voice": ITEMS, "train": 4}, ACCENTS, seed=0))
    return path


@pytest.fixture(scope="module")
def stories(manifest):
    out = manifest.parent / "stories"
    words = ("--corpus", manifest, "--split", "heldout_voice", "--items", ITEMS)
    assert prepare("stories", *words, "--out", out) == 0
    assert prepare("stories", *words, "--out", out.with_name("again")) == 0
    return out


@pytest.mark.parametrize("name", STORIES)
def test_both_layouts_are_whole(stories, name):
    trials = BENCHMARKS[name].layout.read(stories, "dev")
    assert len(trials) == ITEMS
    assert not [trial.fault for trial in trials if trial.fault]


def test_a_hard_ending_differs_in_one_word_an_easy_one_in_verb_and_object(stories):
    for name, least in (("storycloze_t", 1), ("topic_storycloze_t", 2)):
        for trial in BENCHMARKS[name].layout.read(stories, "dev"):
            right, wrong = (ending.split() for ending in trial.candidates)
            differ = [place for place, words in enumerate(zip(right, wrong)) if words[0] != words[1]]
            assert 2 in differ
            assert len(differ) == 1 if least == 1 else 1 in differ


def test_the_same_seed_gives_the_same_sounds(stories):
    for trial in BENCHMARKS["storycloze_s"].layout.read(stories, "dev"):
        for sound in sounds_of([trial]):
            again = stories.with_name("again") / sound.path.relative_to(stories)
            assert sound.path.read_bytes() == again.read_bytes()
            assert len(audio.load(sound.path)) > 4000


def test_sentences_are_said_by_the_voices_of_their_split(manifest):
    rows = [{**row, "text": row["text"]} for row in read_jsonl(manifest)]
    assert {one.voice for one in find_sentences(rows, "heldout_voice")} == set(ACCENTS.heldout)
    assert {one.voice for one in find_sentences(rows, "heldout")} == set(ACCENTS.training)
    assert not set(ACCENTS.heldout) & set(ACCENTS.training)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(("--items", 7), "--items = 7"), (("--items", 9), f"has {ITEMS} sentences of two clauses in heldout")],
)
def test_mistakes_are_one_line(manifest, tmp_path, capsys, options, complaint):
    assert prepare("stories", "--corpus", manifest, "--out", tmp_path / "none", *options) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
