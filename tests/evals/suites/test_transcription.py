import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.suites.transcription import transcribe, wer_s2t, wer_t2s, wer_t2s_audio
from spirit_jax.generation.spirit_lm import Output
from spirit_jax.tokens.interleave import Spans
from spirit_jax.tokens.prompt_format import Task
from tests.evals.fakes import Oracle
from tests.generation.world import record, records, sentence, tiny_lm
from tests.speech_codes import make_speech

RECORDS = records(12)
TEXTS = [sentence(number * 37) for number in range(12)]


def test_a_perfect_listener_makes_no_errors_whatever_the_punctuation():
    result = wer_s2t(
        Evaluation(Oracle(say=lambda place: TEXTS[place].replace(",", " -").upper()), RECORDS, Spans())
    )
    assert result["value"] == 0
    assert result["n"] == 12
    assert result["examples"][0] == {
        "id": "r0",
        "reference": TEXTS[0],
        "transcript": TEXTS[0].replace(",", " -").upper(),
    }


def test_errors_are_counted_over_the_corpus():
    result = wer_s2t(Evaluation(Oracle(say=lambda place: TEXTS[place] if place else ""), RECORDS, Spans()))
    assert result["value"] == len(TEXTS[0].split()) / sum(len(text.split()) for text in TEXTS)
    assert result["low"] == 0
    assert result["high"] > result["value"]


def test_the_round_trip_reads_the_texts_and_hears_what_was_said():
    lm = Oracle(say=lambda place: TEXTS[place])
    assert wer_t2s(Evaluation(lm, RECORDS, Spans()))["value"] == 0
    (spoke, texts, room), (heard, speeches, _) = lm.asked
    assert (spoke, heard) == (Task.SPEAK, Task.TRANSCRIBE)
    assert texts == [[text] for text in TEXTS]
    assert room["max_new_tokens"] > max(len(record.speech.units) for record in RECORDS)
    assert all((ids == lm.vocabulary.speech_start + 1).all() for (ids,) in speeches)


def test_what_said_nothing_is_heard_as_nothing():
    class Mute(Oracle):
        def generate(self, prompts, task, **options):
            return (
                [Output(np.zeros(0, np.int32), ()) for _ in prompts]
                if task is Task.SPEAK
                else super().generate(prompts, task, **options)
            )

    lm = Mute(say=lambda place: "never")
    result = wer_t2s(Evaluation(lm, RECORDS, Spans()))
    assert result["value"] == 1
    assert lm.asked[0][1] == []


def test_only_records_with_speech_and_text_count():
    silent = record(5).__class__(
        **{**vars(record(5)), "speech": None, "word_start_s": np.zeros(0), "word_end_s": np.zeros(0)}
    )
    assert wer_s2t(Evaluation(Oracle(say=lambda place: ""), [silent, *RECORDS[:3]], Spans()))["n"] == 3


def test_silence_is_not_put_to_the_model():
    lm = Oracle(say=lambda place: "heard")
    nothing = np.zeros(0, np.int32)
    assert transcribe(lm, [nothing, RECORDS[0].speech, make_speech(nothing)], room=5) == ["", "heard", ""]
    assert len(lm.asked[0][1]) == 1


def test_the_round_trip_through_sound_hears_what_the_codec_made_of_it():
    lm = tiny_lm()
    result = wer_t2s_audio(Evaluation(lm, RECORDS[:2], Spans()))
    assert result["n"] == 2
    assert result["value"] > 0
