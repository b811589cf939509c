import dataclasses

import pytest

from spirit_jax.config import RunConfig
from spirit_jax.core.settings import load
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.registry import HELD_OUT, TRANSCRIPTION
from spirit_jax.evals.task import Result, ResultKind, measure
from spirit_jax.tokens.interleave import Arrangement
from tests.generation.world import records, tiny_lm
from tests.verbs import ROOT

ASR, TTS = Arrangement.ASR, Arrangement.TTS
TASKS = {
    name: task for name, task in HELD_OUT.items() if getattr(task, "stream", None) is None
}  # of any codec
READING, CONTINUING = ("ears_reading", "mos_reading"), ("ears_continuation", "mos_continuation")


@pytest.mark.parametrize(
    ("kind", "details", "extent", "chance"),
    [
        (ResultKind.ACCURACY, {"pairs": 20}, "20 pairs, 5 items", 0.5),
        (ResultKind.ACCURACY, {}, "5 items", None),
        (ResultKind.WORD_ERROR_RATE, {}, "5 utterances", None),
        (ResultKind.LOSS, {}, "5 records", None),
    ],
)
def test_a_result_says_what_it_was_measured_on(kind, details, extent, chance):
    result = Result(0.5, (0.4, 0.6), 5, kind, details)
    assert (result.extent, result.chance) == (extent, chance)


@pytest.mark.parametrize("kind", ResultKind)
def test_every_kind_has_a_title_and_a_direction(kind):
    assert kind.title
    better = (ResultKind.ACCURACY, ResultKind.SIMILARITY, ResultKind.OPINION_SCORE)
    assert kind.higher_is_better == (kind in better)


def evaluation_after(*arrangements: Arrangement) -> Evaluation:
    """Of a model that was trained on these."""
    lm = dataclasses.replace(tiny_lm(), arrangements=frozenset({Arrangement.INTERLEAVED, *arrangements}))
    lm.__dict__["codec"] = tiny_lm().codec
    return Evaluation(lm, records(0))


@pytest.mark.parametrize(
    ("arrangements", "left_out"),
    [
        (
            (),
            dict.fromkeys(TRANSCRIPTION, "no tts source and no asr source")
            | {"wer_s2t": "no asr source"}
            | dict.fromkeys(READING, "no tts source")
            | dict.fromkeys(CONTINUING, "no asr source"),
        ),
        ((ASR,), dict.fromkeys(("wer_t2s", "wer_t2s_audio", *READING), "no tts source")),
        ((TTS,), dict.fromkeys((*TRANSCRIPTION, *CONTINUING), "no asr source")),
        ((ASR, TTS), {}),
    ],
)
def test_tasks_whose_marker_was_never_trained_on_are_left_out_with_the_reason(arrangements, left_out):
    evaluation = evaluation_after(*arrangements)
    reasons = {name: measure(task, evaluation).details.get("not_measured") for name, task in TASKS.items()}
    found = {name: why for name, why in reasons.items() if why is not None}
    assert found.keys() == left_out.keys()
    for name, says in left_out.items():
        assert says.replace("source and no", "and no") in found[name]
        assert "--tasks" in found[name]


def test_a_task_that_is_asked_for_is_measured():
    for task in TRANSCRIPTION.values():
        assert "not_measured" not in measure(task, evaluation_after(), asked=True).details


@pytest.mark.parametrize("name", ["demo_base_cpu", "demo_expressive_cpu", "small_cpu"])
def test_the_demos_recipes_have_all_that_the_tasks_need(name):
    recipe = load(ROOT / f"tpu_configs/local/{name}.py", RunConfig)
    evaluation = evaluation_after(*(source.arrangement for source in recipe.data.sources))
    for task in TASKS.values():
        assert "not_measured" not in measure(task, evaluation).details
