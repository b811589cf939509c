"""HolisticBias in miniature: models that always say one word, and lists that have it."""

import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import ADDED_TOXICITY
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.judges.toxicity import load_word_list
from spirit_jax.evals.results import to_json
from spirit_jax.evals.suites import added_toxicity
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.fakes import PlantedModel, output_of
from tests.generation.world import Tones, sentence
from tests.speech_codes import make_speech

PROMPTS = [f"{sentence(number)} and" for number in range(6)]
DIRECTIONS = ("t", "s", "t2s", "s2t")


class Says(PlantedModel):
    """Continues every prompt with the same words, or as many units; with nothing for ""."""

    codec = Tones()

    def __init__(self, words):
        super().__init__()
        self.words = words

    def generate(self, prompts, output, task, **options):
        self.requests.append((task, prompts, {"output": output, **options}))
        units = SpokenUnits({"units": np.full(len(self.words.split()), 7)})
        part = self.words if output is Modality.TEXT else units
        return [output_of(*([part] * bool(self.words)), speak=self.codec.decode) for _ in prompts]


class Judged:
    """A list of one phrase for both kinds of judges, and ears that hear `words` in any sound."""

    about = "ears"

    def __init__(self, words, word_list):
        self.words, self.recogniser = words, self
        self.toxicity = dict.fromkeys(["toxic_words", "toxicity_classifier"], word_list)

    def transcribe(self, wavs):
        return [self.words if len(wav) else "" for wav in wavs]


def write_prompts(root, texts=PROMPTS):
    """As recordings beside their texts, and as lines."""
    folder = root / "holistic_bias"
    folder.mkdir()
    for number, text in enumerate(texts):
        units = np.random.default_rng(number).integers(0, 40, 6)
        audio.save(folder / f"p{number}.wav", Tones().decode(make_speech(units)))
        (folder / f"p{number}.txt").write_text(text)
    (folder / "prompts.txt").write_text("\n".join(texts) + "\n")
    return root


def ask(name, root, words, toxic):
    path = root / "toxic.txt"
    path.write_text(toxic)
    model = Says(words)
    judges = Judged(words, load_word_list(path))
    return measure(ADDED_TOXICITY[name], Evaluation(model, [], data=root, judges=judges)), model


@pytest.mark.parametrize("kind", ["toxic_words", "toxic_texts"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_toxic_word_that_is_always_said_counts_unless_the_prompt_has_it(kind, direction, tmp_path):
    root = write_prompts(tmp_path)
    result, model = ask(f"{kind}_{direction}", root, "so rotter so", "rotter")
    assert (result.value, result.n) == (1.0, len(PROMPTS))
    assert (result.details["toxic"], result.details["toxic_prompts"]) == (1.0, 0.0)
    task, prompts, _ = model.requests[0]
    assert task is Task.CONTINUE
    assert all(isinstance(prompt[0], str) == direction.startswith("t") for prompt in prompts)
    json.dumps(to_json(result))
    result, _ = ask(f"{kind}_{direction}", root, "so the fox", "the")
    assert (result.value, result.details["toxic"], result.details["toxic_prompts"]) == (0.0, 1.0, 1.0)


def test_the_share_is_of_all_prompts_and_each_has_a_row(tmp_path):
    root = write_prompts(tmp_path, [f"the {word}" for word in ("fox", "cow", "fox", "hen")])
    result, _ = ask("toxic_words_t", root, "a fox", "fox")
    assert result.value == 0.5
    assert [(row["prompt"], row["toxic_prompt"], row["toxic"]) for row in result.rows] == [
        ("the fox", True, True),
        ("the cow", False, True),
        ("the fox", True, True),
        ("the hen", False, True),
    ]


@pytest.mark.parametrize("name", ["toxic_words_t", "toxic_words_s"])
def test_nothing_said_is_not_toxic_and_counted(name, tmp_path):
    result, _ = ask(name, write_prompts(tmp_path), "", "fox")
    assert (result.value, result.details["nothing_said"]) == (0.0, len(PROMPTS))


def test_recordings_that_cannot_be_asked_are_set_aside_with_a_reason(tmp_path):
    root = write_prompts(tmp_path)
    folder = root / "holistic_bias"
    (folder / "p0.txt").write_text("")
    (folder / "p1.wav").write_bytes(b"RIFF nothing")
    result, _ = ask("toxic_words_s", root, "rotter", "rotter")
    assert result.n == len(PROMPTS) - 2
    assert sum(result.details["set_aside"].values()) == 2


def test_of_many_prompts_some_are_drawn_by_the_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(added_toxicity, "MOST", 4)
    root, task = write_prompts(tmp_path), ADDED_TOXICITY["toxic_words_t"]
    first, again, other = (
        [one.id for one in task.items(Evaluation(Says(""), [], data=root, seed=seed))] for seed in (0, 0, 1)
    )
    assert len(first) == len(set(first)) == 4
    assert first == again != other


def test_a_missing_corpus_is_named_with_its_layout(tmp_path):
    with pytest.raises(UserError, match="prompts.txt"):
        ADDED_TOXICITY["toxic_words_t"].fingerprint(tmp_path, "dev")
    (tmp_path / "holistic_bias").mkdir()
    with pytest.raises(UserError, match="HolisticBias|holistic_bias"):
        ADDED_TOXICITY["toxic_words_t"].fingerprint(tmp_path, "dev")
    (tmp_path / "holistic_bias/prompts.txt").write_text("a prompt\n")
    assert ADDED_TOXICITY["toxic_words_t"].fingerprint(tmp_path, "dev")
    with pytest.raises(UserError):
        ADDED_TOXICITY["toxic_words_s"].fingerprint(tmp_path, "dev")
