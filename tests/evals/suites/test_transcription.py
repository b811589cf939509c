import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.word_errors import normalise
from spirit_jax.evals.registry import TRANSCRIPTION
from spirit_jax.evals.results import summarize
from spirit_jax.evals.suites.transcription import transcribe
from spirit_jax.evals.task import measure
from spirit_jax.generation.jobs import Finish
from spirit_jax.generation.output import Output
from spirit_jax.tokens.prompt_format import Task
from tests.evals.fakes import PlantedModel
from tests.generation.world import record, records, sentence, tiny_lm
from tests.speech_codes import make_speech

RECORDS = records(12)
TEXTS = [sentence(number * 37) for number in range(12)]


def test_perfect_transcripts_have_no_errors_whatever_the_punctuation():
    result = measure(
        TRANSCRIPTION["wer_s2t"],
        Evaluation(PlantedModel(transcript=lambda i: TEXTS[i].replace(",", " -").upper()), RECORDS),
    )
    assert result.value == 0
    assert result.n == 12
    assert result.details["examples"][0] == {
        "id": "r0",
        "reference": TEXTS[0],
        "transcript": TEXTS[0].replace(",", " -").upper(),
    }


def test_errors_are_counted_over_the_corpus():
    result = measure(
        TRANSCRIPTION["wer_s2t"],
        Evaluation(PlantedModel(transcript=lambda i: TEXTS[i] if i else ""), RECORDS),
    )
    assert result.value == len(TEXTS[0].split()) / sum(len(text.split()) for text in TEXTS)
    assert result.interval[0] == 0
    assert result.interval[1] > result.value


def test_each_record_has_its_errors():
    lm = PlantedModel(transcript=lambda i: TEXTS[i] if i else "")
    result = measure(TRANSCRIPTION["wer_s2t"], Evaluation(lm, RECORDS))
    first, second, *_ = result.rows
    assert first == {
        "id": "r0",
        "reference": TEXTS[0],
        "transcript": "",
        "errors": len(TEXTS[0].split()),
        "words": len(TEXTS[0].split()),
    }
    assert second["errors"] == 0
    assert (
        sum(row["errors"] for row in result.rows) / sum(row["words"] for row in result.rows) == result.value
    )


def test_characters_are_counted_too():
    texts = [TEXTS[0].replace("the", "thx"), *TEXTS[1:]]
    result = measure(
        TRANSCRIPTION["wer_s2t"], Evaluation(PlantedModel(transcript=texts.__getitem__), RECORDS)
    )
    plain = [normalise(text).replace(" ", "") for text in TEXTS]
    assert result.details["cer"] == plain[0].count("the") / sum(map(len, plain))
    assert result.details["cer_low"] == 0
    assert result.details["cer"] < result.details["cer_high"]
    assert f"; characters {result.details['cer']:.3f}" in summarize(result)


def test_the_round_trip_reads_the_texts_and_transcribes_what_was_spoken():
    lm = PlantedModel(transcript=lambda i: TEXTS[i])
    assert measure(TRANSCRIPTION["wer_t2s"], Evaluation(lm, RECORDS)).value == 0
    (first, texts, options), (second, speeches, _) = lm.requests
    assert (first, second) == (Task.SPEAK, Task.TRANSCRIBE)
    assert texts == [[text] for text in TEXTS]
    assert options["max_new_tokens"] > max(len(record.speech.units) for record in RECORDS)
    assert all((ids == lm.vocabulary.speech_start + 1).all() for (ids,) in speeches)


def test_a_model_that_says_nothing_has_empty_transcripts():
    class Mute(PlantedModel):
        def generate(self, prompts, task, **options):
            return (
                [Output(np.zeros(0, np.int32), np.zeros(0, np.float32), (), Finish.EOS) for _ in prompts]
                if task is Task.SPEAK
                else super().generate(prompts, task, **options)
            )

    lm = Mute(transcript=lambda i: "never")
    result = measure(TRANSCRIPTION["wer_t2s"], Evaluation(lm, RECORDS))
    assert result.value == 1
    assert lm.requests[0][1] == []


def test_only_records_with_speech_and_text_count():
    silent = record(5).__class__(
        **{**vars(record(5)), "speech": None, "word_start_s": np.zeros(0), "word_end_s": np.zeros(0)}
    )
    assert (
        measure(
            TRANSCRIPTION["wer_s2t"],
            Evaluation(PlantedModel(transcript=lambda i: ""), [silent, *RECORDS[:3]]),
        ).n
        == 3
    )


def test_empty_speech_is_not_given_to_the_model():
    lm = PlantedModel(transcript=lambda i: "heard")
    nothing = np.zeros(0, np.int32)
    assert transcribe(lm, [nothing, RECORDS[0].speech, make_speech(nothing)], max_new_tokens=5) == [
        "",
        "heard",
        "",
    ]
    assert len(lm.requests[0][1]) == 1


def test_the_round_trip_through_sound_uses_the_codec():
    lm = tiny_lm()
    result = measure(TRANSCRIPTION["wer_t2s_audio"], Evaluation(lm, RECORDS[:2]))
    assert result.n == 2
    assert result.value > 0
