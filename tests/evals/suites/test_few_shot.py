"""Few-shot tasks on data sets in miniature, asked of models that know the answers, or nothing."""

import csv
import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import FEW_SHOT
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.results import summarize, to_json
from spirit_jax.evals.suites.few_shot import _cut_stop
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.fakes import PlantedModel, output_of
from tests.generation.world import UNITS, Tones, sentence, tiny_lm
from tests.speech_codes import make_speech

pytest.importorskip("whisper_normalizer")
ASKED, SHOWN = 6, 14


def tone(path, number, units=5):
    """A sound of its own for each number."""
    audio.save(path, Tones().decode(make_speech(np.random.default_rng(number).integers(0, UNITS, units))))


def write_part(root, name, count, first):
    folder = root / "LibriSpeech" / name / "61/70"
    folder.mkdir(parents=True)
    lines = []
    for number in range(first, first + count):
        tone(folder / f"61-70-{number:04d}.wav", number)
        lines.append(f"61-70-{number:04d} {sentence(37 * number).replace(',', '').upper()}")
    (folder / "61-70.trans.txt").write_text("\n".join(lines) + "\n")


def write_librispeech(root):
    write_part(root, "test-clean", ASKED, 0)
    write_part(root, "dev-clean", SHOWN, 100)
    tone(root / "LibriSpeech/stop.wav", 999)
    return root


def text_of(number):
    return sentence(37 * number).replace(",", "")


INTENTS = [
    ("activate", "lights", "bedroom"),
    ("change language", "none", "none"),
    ("bring", "newspaper", "none"),
]


def write_commands(root):
    folder = root / "fluent_speech_commands_dataset"
    (folder / "data").mkdir(parents=True)
    for name, count in (("test", ASKED), ("train", 40)):
        with open(folder / "data" / f"{name}_data.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["", "path", "speakerId", "transcription", "action", "object", "location"])
            for number in range(count):
                path = f"wavs/speakers/{name}/{number}.wav"
                tone(folder / path, number + 1000 * (name == "train"))
                rows.writerow([number, path, "s", "say", *INTENTS[number % 3]])
    return folder


class Ears:
    """Hears what it is told."""

    about = "ears"

    def __init__(self, texts):
        self.texts, self.heard = texts, []

    def transcribe(self, wavs):
        self.heard += wavs
        return list(self.texts)


class Judged:
    def __init__(self, texts):
        self.recogniser = Ears(texts)


class Answering(PlantedModel):
    """Answers prompt i with answer(i)."""

    codec = Tones()

    def generate(self, prompts, task, **options):
        self.requests.append((task, prompts, options))
        return [output_of(*self.transcript(i), speak=self.codec.decode) for i in range(len(prompts))]


def ask(name, model, root, **options):
    return measure(FEW_SHOT[name], Evaluation(model, [], data=root, **options))


@pytest.fixture(scope="module")
def libri(tmp_path_factory):
    return write_librispeech(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_commands(root)
    return root


def test_right_transcripts_have_no_errors_and_others_do(libri):
    right = ask("asr", Answering(transcript=lambda i: (f" {text_of(i).upper()}. <END> and more",)), libri)
    assert (right.value, right.n, right.details["cer"]) == (0.0, ASKED, 0.0)
    assert "normal form" in right.details["normalisation"]
    assert [row["id"] for row in right.rows] == [f"61/70/61-70-{i:04d}" for i in range(ASKED)]
    assert right.rows[1]["transcript"].lower() == f"{text_of(1)}."
    wrong = ask("asr", Answering(transcript=lambda i: ("cheese <END>",)), libri)
    assert wrong.value == 1.0
    assert ask("asr", Answering(transcript=lambda i: ()), libri).value == 1.0


def test_a_transcription_prompt_is_ten_examples_and_a_recording(libri):
    model = Answering(transcript=lambda i: ("",))
    result = ask("asr", model, libri)
    ((task, prompts, options),) = model.requests
    assert (task, options["output"]) == (Task.CONTINUE, Modality.TEXT)
    assert result.details["shots"] == {"wanted": 10, "least": 10, "mean": 10.0}
    known = {f"<START Transcript> {text_of(number)} <END>" for number in range(100, 100 + SHOWN)}
    for prompt in prompts:
        texts = prompt[1:-1:2]
        assert len(prompt) == 2 * 11
        assert len(set(texts)) == 10
        assert set(texts) <= known
        assert prompt[-1] == "<START Transcript> "
    assert len({prompt[1:-2:2] for prompt in prompts}) == ASKED, "each recording has examples of its own"


def test_the_seed_draws_the_examples(libri):
    drawn = []
    for seed in (0, 0, 1):
        model = Answering(transcript=lambda i: ("",))
        ask("asr", model, libri, seed=seed)
        drawn.append([prompt[1::2] for prompt in model.requests[0][1]])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_prompt_has_the_examples_that_the_context_holds(libri):
    model = Answering(transcript=lambda i: ("",))
    result = ask("asr", model, libri, max_tokens=300)
    shots = result.details["shots"]
    assert 0 < shots["least"] < 10
    ((_, prompts, options),) = model.requests
    lengths = [len(model.format.encode(prompt, Task.CONTINUE, Modality.TEXT)) for prompt in prompts]
    assert max(lengths) + options["max_new_tokens"] <= 300


def test_a_model_of_random_weights_runs(libri, commands):
    assert ask("asr", tiny_lm(), libri).value > 0.5
    result = ask("intent", tiny_lm(), commands)
    assert (result.n, result.value) == (ASKED, 0.0)


def test_texts_read_aloud_are_judged_by_ears(libri):
    speech = SpokenUnits({"units": np.array([1, 2, 3, 4])})
    model = Answering(transcript=lambda i: (speech,))
    judges = Judged([f"{text_of(number)}. Stop. Then more" for number in range(ASKED)])
    result = ask("tts", model, libri, judges=judges)
    assert (result.value, result.n, result.details["asr"]) == (0.0, ASKED, "ears")
    assert result.details["wer"] == 0.0
    assert [len(wav) for wav in judges.recogniser.heard] == [4 * 640] * ASKED
    ((_, prompts, options),) = model.requests
    assert options["output"] is Modality.SPEECH
    assert prompts[0][-1] == f"{text_of(0)} stop"
    assert len(prompts[0]) == 3 * 10 + 1
    endings = {part.units.tobytes() for prompt in prompts for part in prompt[2:-1:3]}
    assert len(endings) == 1, "each example ends with the spoken word"
    silent = ask("tts", Answering(transcript=lambda i: ()), libri, judges=Judged([""] * ASKED))
    assert silent.value == 1.0
    assert "[" in summarize(silent)


@pytest.mark.parametrize(
    ("heard", "kept"),
    [("the fox stop", "the fox"), ("stop the fox. Stop!", "stop the fox."), ("the fox", "the fox"), ("", "")],
)
def test_a_transcript_ends_before_its_last_stop(heard, kept):
    assert _cut_stop(heard) == kept


def test_an_intent_is_right_to_the_letter_or_wrong(commands):
    def answer(i):
        return (" ".join(INTENTS[i % 3]).capitalize() + ("." if i else " now"), make_speech(np.array([1])))

    model = Answering(transcript=answer)
    result = ask("intent", model, commands)
    assert (result.value, result.n) == ((ASKED - 1) / ASKED, ASKED)
    assert result.chance == pytest.approx(1 / 3)
    assert result.details["shots"]["least"] == 30
    ((_, prompts, options),) = model.requests
    assert options["output"] is Modality.ARBITRARY
    assert prompts[0][-1] == "A:"
    assert {prompts[0][1], prompts[0][3]} <= {f"A:{' '.join(intent)}" for intent in INTENTS}


def test_a_model_that_guesses_an_intent_is_at_chance(commands):
    rng = np.random.default_rng(0)
    draws = [
        ask("intent", Answering(transcript=lambda i: (" ".join(INTENTS[rng.integers(3)]),)), commands).value
        for _ in range(40)
    ]
    assert np.mean(draws) == pytest.approx(1 / 3, abs=0.1)


def test_what_cannot_be_asked_is_set_aside_with_its_reason(tmp_path):
    folder = write_commands(tmp_path)
    table = folder / "data/test_data.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1], "9,,s,say,a,b,c", "10,wavs/none.wav,s,say,a,b,c"]) + "\n")
    tone(folder / "wavs/speakers/test/2.wav", 2, units=1)
    result = ask("intent", Answering(transcript=lambda i: ("x",)), tmp_path)
    assert result.n == ASKED - 1
    assert result.details["set_aside"] == {"duplicate_row": 1, "bad_row": 1, "too_short": 1, "missing": 1}


def test_a_transcript_without_its_recording_is_set_aside(tmp_path):
    """As of a download that is incomplete."""
    root = write_librispeech(tmp_path)
    next((root / "LibriSpeech/test-clean").rglob("*-0002.wav")).unlink()
    result = ask("asr", Answering(transcript=lambda i: ("x",)), root)
    assert (result.n, result.details["set_aside"]) == (ASKED - 1, {"missing": 1})


def test_the_result_is_json_and_names_its_data(libri, tmp_path):
    once = to_json(ask("asr", Answering(transcript=lambda i: ("",)), libri))
    assert json.loads(json.dumps(once)) == once
    assert once["paper"] == {"base": 0.219}
    other = write_librispeech(tmp_path)
    path = next(other.rglob("dev-clean/**/*.trans.txt"))
    path.write_text(path.read_text().replace("FOX", "DOG"))
    prints = [FEW_SHOT["asr"].fingerprint(root, "dev") for root in (libri, libri, other)]
    assert prints[0] == prints[1] == once["data"]["fingerprint"]
    assert prints[0] != prints[2]


@pytest.mark.parametrize(
    ("name", "gone", "says"),
    [
        ("asr", "LibriSpeech", "no folder LibriSpeech"),
        ("asr", "LibriSpeech/dev-clean", "no folder dev-clean"),
        ("tts", "LibriSpeech/stop.wav", "no stop.wav"),
        ("intent", "fluent_speech_commands_dataset/data/train_data.csv", "no data/train_data.csv"),
        ("intent", "fluent_speech_commands_dataset/wavs", "none of"),
    ],
)
def test_missing_data_is_named_with_its_layout_and_source(tmp_path, name, gone, says):
    write_librispeech(tmp_path)
    write_commands(tmp_path)
    (tmp_path / gone).rename(tmp_path / "gone")
    with pytest.raises(UserError, match=says) as caught:
        FEW_SHOT[name].fingerprint(tmp_path, "dev")
    assert FEW_SHOT[name].place.shape in str(caught.value)
    assert "https://" in str(caught.value)


def test_a_stop_that_cannot_be_heard_is_a_mistake(tmp_path):
    root = write_librispeech(tmp_path)
    tone(root / "LibriSpeech/stop.wav", 1, units=1)
    with pytest.raises(UserError, match="spoken stop"):
        ask("tts", Answering(transcript=lambda i: ()), root, judges=Judged([]))
