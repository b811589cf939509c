"""Planted models and judges: what is continued, what is written of it, and what is made of the numbers."""

import dataclasses
import json

import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.perplexity import auto_bleu
from spirit_jax.evals.registry import GEN_PPL
from spirit_jax.evals.results import summarize, to_json
from spirit_jax.evals.task import measure
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.fakes import PlantedModel, output_of
from tests.generation.world import Tones, prompt_format, record, records, sentence, text_lm, tiny_lm

RECORDS = records(6)
HALVES = [sentence(number * 37).split(", ") for number in range(6)]


class Planted(PlantedModel):
    """Continues prompt i with the text say(i), or with as many units; says nothing for ""."""

    codec = Tones()

    def __init__(self, say):
        super().__init__(transcript=say)

    def generate(self, prompts, output, task, **options):
        self.requests.append((task, prompts, {"output": output, **options}))
        said = [self.transcript(i) for i in range(len(prompts))]
        if output is Modality.SPEECH:
            parts = [SpokenUnits({"units": np.full(len(text.split()), 7)}) for text in said]
            return [output_of(*([part] * bool(len(part.units))), speak=self.codec.decode) for part in parts]
        return [output_of(*([text] * bool(text))) for text in said]


class Judged:
    """A judge that finds each word as likely as one of `choices`, and ears that write say(i)."""

    def __init__(self, say, choices=10):
        self.say, self.choices, self.asked = say, choices, []
        self.language_model = self.recogniser = self
        self.about = "planted"

    def score_texts(self, pairs):
        self.asked.append(list(pairs))
        tokens = np.array([len(text.split()) for _, text in pairs])
        return tokens * np.log(self.choices), tokens

    def transcribe(self, wavs):
        self.heard = [len(wav) for wav in wavs]
        return [self.say(i) if len(wav) else "" for i, wav in enumerate(wavs)]


def ask(name, say, **options):
    model, judges = Planted(say), Judged(say)
    return measure(GEN_PPL[name], Evaluation(model, RECORDS, judges=judges, **options)), model, judges


@pytest.mark.parametrize("name", GEN_PPL)
def test_the_judge_reads_what_was_said_after_the_words_of_the_prompt(name):
    result, model, judges = ask(name, lambda i: f"so said {i} so said {i}", seed=5)
    said, true = judges.asked
    assert said == [(f"{first},", f"so said {i} so said {i}") for i, (first, _) in enumerate(HALVES)]
    assert true == [(f"{first},", rest) for first, rest in HALVES]
    assert (result.value, result.n) == (pytest.approx(10), 6)
    assert result.interval == pytest.approx((10, 10))
    assert result.details["auto_bleu"] == pytest.approx(auto_bleu("a b c a b c"))
    assert result.details["words"] == 6
    (task, prompts, options), target = model.requests[0], GEN_PPL[name].direction.target
    assert (task, options) == (Task.CONTINUE, {"output": target, "seed": 5})
    text = GEN_PPL[name].direction.prompt is Modality.TEXT
    assert all(isinstance(prompt[0], str) == text for prompt in prompts)
    assert GEN_PPL[name].judges == (("judge_lm", "asr") if target is Modality.SPEECH else ("judge_lm",))


def test_a_spoken_prompt_is_the_speech_of_the_first_part():
    _, model, _ = ask("gen_ppl_s2t", lambda i: "so")
    for i, (ids,) in enumerate(model.requests[0][1]):
        words = len(HALVES[i][0].split())
        read = prompt_format().encode([ids], Task.CONTINUE, Modality.SPEECH)
        assert read[0] == model.vocabulary.bos
        assert np.isin(ids, model.vocabulary.encode_stream(np.zeros(40, np.int64), np.arange(40))).all()
        assert len(ids) <= 4 * words


def test_true_continuations_have_the_same_figures():
    result, _, _ = ask("gen_ppl_t2t", lambda i: "a b a b")
    original = result.details["original"]
    assert original["value"] == pytest.approx(10)
    assert original["words"] == pytest.approx(np.mean([len(rest.split()) for _, rest in HALVES]))
    assert original["auto_bleu"] == pytest.approx(np.mean([auto_bleu(rest) for _, rest in HALVES]))


@pytest.mark.parametrize("name", ["gen_ppl_t2t", "gen_ppl_s2s"])
def test_nothing_said_is_set_aside_and_counted(name):
    result, _, _ = ask(name, lambda i: "well then" if i % 2 else "")
    assert (result.n, result.details["set_aside"]) == (3, {"nothing_said": 3})
    assert [row["id"] for row in result.rows] == [record(37 * i).id for i in (1, 3, 5)]
    assert "set aside: 3 nothing_said" in summarize(result)


def test_a_silent_model_has_no_perplexity_but_its_data_have():
    result, _, _ = ask("gen_ppl_t2s", lambda i: "")
    assert (result.value, result.interval, result.n) == (None, None, 0)
    assert result.details["original"]["value"] == pytest.approx(10)
    json.dumps(to_json(result))


def test_rows_have_the_numbers_of_each_continuation():
    result, _, _ = ask("gen_ppl_t2t", lambda i: "on and on and")
    first = result.rows[0]
    assert (first["prompt"], first["continuation"]) == (f"{HALVES[0][0]},", "on and on and")
    assert (first["nats"], first["tokens"]) == (pytest.approx(4 * np.log(10)), 4)
    assert first["auto_bleu"] == pytest.approx(2 / 3)


def test_a_text_only_model_continues_texts_alone():
    none = np.zeros(0, np.float32)
    texts = [dataclasses.replace(one, speech=None, word_start_s=none, word_end_s=none) for one in RECORDS[:2]]
    evaluation = Evaluation(text_lm(), texts, judges=Judged(None))
    result = measure(GEN_PPL["gen_ppl_t2t"], evaluation)
    assert result.details["original"]["value"] == pytest.approx(10)
    assert result.n + result.details["set_aside"].get("nothing_said", 0) == 2
    assert "text-only" in measure(GEN_PPL["gen_ppl_t2s"], evaluation).details["not_measured"]


def test_a_model_with_speech_does_it_to_the_end():
    judges = Judged(lambda i: "words heard")
    result = measure(GEN_PPL["gen_ppl_s2s"], Evaluation(tiny_lm(), RECORDS[:2], judges=judges))
    assert result.n + result.details["set_aside"].get("nothing_said", 0) == 2
    json.dumps(to_json(result))
