"""STSP in miniature: models that keep a sentiment, or draw one."""

import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import STSP
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.layouts.stsp import sentiment_of
from spirit_jax.evals.results import to_json, write_scores
from spirit_jax.evals.suites.sentiment import RUNS
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.fakes import PlantedModel, output_of
from tests.generation.world import Tones, sentence, text_lm, tiny_lm
from tests.speech_codes import make_speech

EMOTIONS = ("amused", "angry", "neutral")
SENTIMENTS = ("positive", "negative", "neutral")
ITEMS = 9


def write_stsp(root, items=ITEMS):
    """Item i has sentiment i % 3, as a word of a text, and as the first unit of a sound."""
    folder = root / "stsp"
    (folder / "wav").mkdir(parents=True)
    for split, first in (("train", 100), ("dev", 0)):
        spoken, written = [], []
        for number in range(first, first + items):
            emotion = EMOTIONS[number % 3]
            units = np.concatenate([[10 * (number % 3)], np.random.default_rng(number).integers(0, 40, 5)])
            audio.save(folder / f"wav/{number}.wav", Tones().decode(make_speech(units)))
            row = {"id": f"r{number}", "emotion": emotion, "split": split, "speaker": "s"}
            spoken.append({**row, "wav_path": f"wav/{number}.wav"})
            written.append({"id": f"t{number}", "emotion": emotion, "text": f"{sentence(number)} {emotion}"})
        for name, rows in (("emov", spoken), ("text", written)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"records_{name}_{split}.jsonl").write_text(lines)
    return root


def sentiment_in(part) -> int:
    """The number of the sentiment of a prompt's part."""
    if isinstance(part, str):
        return EMOTIONS.index(part.split()[-1])
    return round(int(part.units[0]) / 10) % 3


class Feeling(PlantedModel):
    """Continues a prompt with a sentiment: choose(that of its last part, its number)."""

    codec = Tones()

    def __init__(self, choose):
        super().__init__()
        self.choose = choose

    def generate(self, prompts, output, task, **options):
        self.requests.append((task, prompts, {"output": output, **options}))
        found = [self.choose(sentiment_in(prompt[-1]), i) for i, prompt in enumerate(prompts)]
        parts = [
            () if one is None else (f"so {EMOTIONS[one]}",) if output is Modality.TEXT else (tone(one),)
            for one in found
        ]
        return [output_of(*some, speak=self.codec.decode) for some in parts]


def tone(number):
    return SpokenUnits({"units": np.array([10 * number] * 4)})


class Judge:
    """Knows the sentiment of a text's last word, or of a tone."""

    labels, about = ("POSITIVE", "angry", "neutral"), "judge"

    def classify(self, given):
        return [
            self.labels[sentiment_in(one if isinstance(one, str) else Tones().encode_batch([one])[0])]
            for one in given
        ]


class Judged:
    classifiers = {Modality.TEXT: Judge(), Modality.SPEECH: Judge()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_stsp(tmp_path_factory.mktemp("data"))


def ask(name, model, root, **options):
    return measure(STSP[name], Evaluation(model, [], data=root, judges=Judged(), **options))


@pytest.mark.parametrize("name", STSP)
def test_a_model_that_keeps_the_sentiment_has_all(root, name):
    model = Feeling(lambda sentiment, i: sentiment)
    result = ask(name, model, root)
    assert (result.value, result.n, result.details["runs"]) == (1.0, ITEMS, [1.0] * RUNS)
    assert result.details["by_sentiment"] == dict.fromkeys(sorted(SENTIMENTS), 1.0)
    assert result.chance == pytest.approx(1 / 3)
    assert [options["seed"] for _, _, options in model.requests] == [0, 1, 2]
    assert {task for task, _, _ in model.requests} == {Task.CONTINUE}


@pytest.mark.parametrize("name", ["stsp_t", "stsp_s2t", "stsp_s_few_shot"])
def test_a_model_that_guesses_is_at_chance(tmp_path, name):
    rng = np.random.default_rng(0)
    result = ask(name, Feeling(lambda sentiment, i: int(rng.integers(3))), write_stsp(tmp_path, 120))
    low, high = result.interval
    assert low <= 1 / 3 <= high
    assert high - low < 0.2


def test_nothing_said_has_no_sentiment(root):
    result = ask("stsp_s", Feeling(lambda sentiment, i: sentiment if i else None), root)
    assert result.value == pytest.approx((ITEMS - 1) / ITEMS)
    assert [row["pred"] for row in result.rows if row["id"] == "r0"] == [""] * RUNS


@pytest.mark.parametrize("name", ["stsp_t_few_shot", "stsp_t2s_few_shot", "stsp_s2t_few_shot"])
def test_examples_are_pairs_of_one_sentiment_and_the_item_is_last(root, name):
    model = Feeling(lambda sentiment, i: sentiment)
    ask(name, model, root)
    given, continued = STSP[name].given, STSP[name].continued
    for number, prompt in enumerate(model.requests[0][1]):
        assert len(prompt) == 3 * 2 + 1
        kinds = [Modality.TEXT if isinstance(part, str) else Modality.SPEECH for part in prompt]
        assert kinds == [given, continued] * 3 + [given]
        shown = [sentiment_in(part) for part in prompt[:-1]]
        assert shown[::2] == shown[1::2]
        assert sorted(shown[::2]) == [0, 1, 2]
        assert all(first is not second for first, second in zip(prompt[:-1:2], prompt[1::2]))
        assert sentiment_in(prompt[-1]) == number % 3
        assert all(part is not prompt[-1] for part in prompt[:-1])


def test_predictions_are_lines_with_id_and_pred(root, tmp_path):
    result = ask("stsp_t", Feeling(lambda sentiment, i: 0), root)
    write_scores(tmp_path, "stsp_t", result)
    rows = [json.loads(line) for line in (tmp_path / "stsp_t.jsonl").read_text().splitlines()]
    assert len(rows) == ITEMS * RUNS
    assert rows[0] == {"id": "t0", "pred": "positive", "run": 0}
    for run in range(RUNS):
        lines = (tmp_path / f"predictions/stsp_t_{run}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"id": f"t{number}", "pred": "positive"} for number in range(ITEMS)
        ]


def test_random_weights_run_and_results_repeat(root):
    results = [to_json(ask("stsp_t2s", tiny_lm(), root, seed=3)) for _ in range(2)]
    assert json.dumps(results[0]) == json.dumps(results[1])
    assert 0 <= results[0]["value"] <= 1
    assert results[0]["paper"] == {"base": 0.33, "expressive": 0.38}
    assert ask("stsp_s", text_lm(), root).details["not_measured"] == "the model is text-only"


@pytest.mark.parametrize(
    ("label", "sentiment"),
    [("Amused", "positive"), ("NEGATIVE", "negative"), ("sleepy", None), (" hap ", "positive")],
)
def test_a_label_has_a_sentiment_or_none(label, sentiment):
    assert sentiment_of(label) == sentiment


def test_what_cannot_be_asked_is_set_aside(tmp_path):
    write_stsp(tmp_path)
    path = tmp_path / "stsp/records_emov_dev.jsonl"
    lines = path.read_text().splitlines()
    sleepy = json.dumps({**json.loads(lines[0]), "id": "z", "emotion": "sleepy"})
    absent = json.dumps({"id": "y", "emotion": "angry"})
    path.write_text("\n".join([*lines, lines[0], sleepy, absent, "not json"]) + "\n")
    (tmp_path / "stsp/wav/3.wav").unlink()
    result = ask("stsp_s", Feeling(lambda sentiment, i: sentiment), tmp_path)
    assert (result.value, result.n) == (1.0, ITEMS - 1)
    faults = {"duplicate_row": 1, "no_sentiment": 1, "bad_row": 2, "missing": 1}
    assert result.details["set_aside"] == faults


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("stsp", "no folder stsp"),
        ("stsp/records_text_dev.jsonl", "no records_text_dev"),
        ("stsp/wav", "none of"),
    ],
)
def test_missing_data_is_named_with_its_layout_and_source(tmp_path, gone, says):
    write_stsp(tmp_path)
    (tmp_path / gone).rename(tmp_path / "gone")
    name = "stsp_s" if gone.endswith("wav") else "stsp_t"
    with pytest.raises(UserError, match=says) as caught:
        STSP[name].fingerprint(tmp_path, "dev")
    assert "records_emov_{train,dev,test}.jsonl" in str(caught.value)
    assert "openslr.org/115" in str(caught.value)


def test_examples_are_part_of_the_fingerprint(tmp_path):
    write_stsp(tmp_path)
    before = [STSP[name].fingerprint(tmp_path, "dev") for name in ("stsp_t", "stsp_t_few_shot")]
    path = tmp_path / "stsp/records_text_train.jsonl"
    path.write_text(path.read_text().replace("fox", "dog"))
    after = [STSP[name].fingerprint(tmp_path, "dev") for name in ("stsp_t", "stsp_t_few_shot")]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_classifier_without_a_sentiment_is_refused(root):
    class TwoLabels(Judge):
        labels = ("positive", "negative")

    class Wrong:
        classifiers = {Modality.TEXT: TwoLabels()}

    with pytest.raises(UserError, match="no label that is neutral"):
        measure(STSP["stsp_t"], Evaluation(Feeling(lambda s, i: s), [], data=root, judges=Wrong()))
