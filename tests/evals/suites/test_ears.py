"""What a planted recogniser hears of recordings and of a model's speech."""

import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.registry import EARS, MOS
from spirit_jax.evals.task import measure
from spirit_jax.generation.jobs import Finish
from spirit_jax.generation.output import Output
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.fakes import PlantedModel, output_of
from tests.generation.world import Tones, record, records, sentence, vocabulary

pytest.importorskip("whisper_normalizer")
RECORDS = records(6)
TEXTS = [sentence(number * 37) for number in range(6)]


class Ears:
    """Writes what was planted for each sound in turn, and "" for no sound."""

    about = "planted ears"

    def __init__(self, texts):
        self.texts, self.heard = texts, []

    def transcribe(self, wavs):
        self.heard += wavs
        return [text if len(wav) else "" for text, wav in zip(self.texts, wavs)]


class Judged:
    def __init__(self, texts):
        self.recogniser = Ears(texts)


class Speaker(PlantedModel):
    """Reads text i as the units of record i, and continues record i as it goes on."""

    codec = Tones()

    def generate(self, prompts, task, **options):
        self.requests.append((task, prompts, options))
        if task is Task.TRANSCRIBE:
            return [output_of(self.transcript(i)) for i in range(len(prompts))]
        return [
            output_of(RECORDS[i].speech, speak=self.codec.decode) if task is Task.SPEAK else self._go_on(i)
            for i in range(len(prompts))
        ]

    def _go_on(self, i):
        ids = np.arange(5, dtype=np.int32) % 3 + vocabulary().speech_start
        return Output(ids, np.zeros(5, np.float32), (), Finish.EOS)


@pytest.fixture
def recordings(tmp_path):
    """Of all records, each 0.1 s longer than its units."""
    found = {}
    for one in RECORDS:
        path = tmp_path / f"{one.id}.wav"
        audio.save(path, np.concatenate([Tones().decode(one.speech), np.full(1600, 0.1, np.float32)]))
        found[one.id] = {"id": one.id, "audio": str(path)}
    return found


def ask(name, texts=TEXTS, known=RECORDS, recordings=None, transcript=TEXTS.__getitem__):
    lm, judges = Speaker(transcript=transcript), Judged(texts)
    result = measure(EARS[name], Evaluation(lm, known, judges=judges, recordings=recordings or {}))
    return result, judges.recogniser.heard, lm.requests


@pytest.mark.parametrize("name", EARS)
def test_a_recogniser_that_hears_every_word_makes_no_errors(name, recordings):
    result, heard, _ = ask(name, [text.upper() for text in TEXTS], recordings=recordings)
    assert (result.value, result.details["cer"], result.n) == (0.0, 0.0, 6)
    assert result.details["asr"] == "planted ears"
    assert result.details["set_aside"] == {}
    assert len(heard) == len(result.rows) == 6


@pytest.mark.parametrize("name", EARS)
def test_a_deaf_one_misses_every_word(name, recordings):
    assert ask(name, [""] * 6, recordings=recordings)[0].value == 1.0


def test_recordings_are_heard_as_they_are_and_resynthesis_as_the_codec_makes_it(recordings):
    _, originals, _ = ask("ears_recording", recordings=recordings)
    _, resynthesis, _ = ask("ears_resynthesis", recordings=recordings)
    for one, original, made in zip(RECORDS, originals, resynthesis):
        np.testing.assert_array_equal(made, Tones().decode(one.speech))
        assert len(original) == len(made) + 1600


def test_without_recordings_only_they_are_not_measured():
    result, heard, _ = ask("ears_recording")
    assert (result.value, result.n, heard) == (None, 0, [])
    assert "--manifest" in result.details["not_measured"]
    assert ask("ears_resynthesis")[0].value == 0.0


def test_recordings_that_are_not_there_are_counted(recordings, tmp_path):
    (tmp_path / "r0.wav").unlink()
    del recordings["r37"]
    result, heard, _ = ask("ears_recording", TEXTS[2:], recordings=recordings)
    assert (result.value, result.n, len(heard)) == (0.0, 4, 4)
    assert sum(result.details["set_aside"].values()) == 2
    assert result.details["set_aside"]["no_recording"] == 1


def test_a_model_that_reads_nothing_is_wrong_in_every_word():
    class Mute(Speaker):
        def generate(self, prompts, task, **options):
            nothing = Output(np.zeros(0, np.int32), np.zeros(0, np.float32), (), Finish.EOS)
            return [nothing for _ in prompts]

    evaluation = Evaluation(Mute(), RECORDS, judges=Judged(TEXTS))
    assert measure(EARS["ears_reading"], evaluation).value == 1.0


def test_a_continuation_is_heard_with_its_beginning_and_judged_by_the_models_own_transcript():
    own = [f"word {i}" for i in range(6)]
    result, heard, requests = ask("ears_continuation", own, transcript=own.__getitem__)
    assert result.value == 0.0
    (first, begun, options), (second, wholes, _) = requests
    assert (first, options["output"], second) == (Task.CONTINUE, Modality.SPEECH, Task.TRANSCRIBE)
    for (beginning,), (whole,), wav in zip(begun, wholes, heard):
        np.testing.assert_array_equal(whole[: len(beginning)], beginning)
        assert len(whole) == len(beginning) + 5
        assert len(wav) > 640 * 5


def test_records_without_word_times_have_no_beginning():
    result, heard, _ = ask("ears_continuation", known=[record(0, aligned=False), *RECORDS[1:3]])
    assert (result.n, len(heard)) == (2, 2)
    assert result.details["set_aside"] == {"not_cut": 1}


class Listeners:
    """Rate a sound by its length, and refuse no sound at all."""

    about = "planted listeners"

    def __init__(self):
        self.quality = self

    def rate(self, wavs):
        assert all(len(wav) for wav in wavs)
        return [{"p808": len(wav) / 16_000, "overall": 2.0, "signal": 3.0, "background": 4.0} for wav in wavs]


def rate(name, **options):
    lm = Speaker(transcript=TEXTS.__getitem__)
    return measure(MOS[name], Evaluation(lm, options.pop("known", RECORDS), judges=Listeners(), **options))


@pytest.mark.parametrize("name", MOS)
def test_ratings_are_averaged_over_what_was_said(name, recordings):
    result = rate(name, recordings=recordings)
    assert result.value == pytest.approx(np.mean([row["p808"] for row in result.rows]))
    assert [result.details[other] for other in ("overall", "signal", "background")] == [2, 3, 4]
    assert (result.n, result.details["set_aside"]) == (6, {})
    assert result.details["judge"] == "planted listeners"


def test_the_same_sounds_are_rated_that_are_heard(recordings):
    recorded, made = (rate(name, recordings=recordings) for name in ("mos_recording", "mos_resynthesis"))
    longer = [one["p808"] - other["p808"] for one, other in zip(recorded.rows, made.rows)]
    assert longer == pytest.approx([0.1] * 6)


def test_nothing_said_and_recordings_that_are_not_there_are_counted(recordings):
    del recordings["r37"]
    assert rate("mos_recording", recordings=recordings).details["set_aside"] == {"no_recording": 1}
    assert "--manifest" in rate("mos_recording").details["not_measured"]
    silent = rate("mos_continuation", known=[record(0, aligned=False)])
    assert (silent.value, silent.details["set_aside"]) == (None, {"not_cut": 1})
