import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from tests.generation.world import record, records, tiny_lm

RECORDS = records(12)


def test_records_that_are_too_long_do_not_fit():
    evaluation = Evaluation(tiny_lm(), RECORDS)
    lengths = [len(one.text_ids) + evaluation.count_speech_tokens(one) for one in RECORDS]
    limit = min(lengths)
    fitting = Evaluation(tiny_lm(), RECORDS, max_tokens=limit).fitting_records
    assert [one.id for one in fitting] == [one.id for one, length in zip(RECORDS, lengths) if length <= limit]
    assert 0 < len(fitting) < len(RECORDS)


@pytest.mark.parametrize("missing", ["speech", "text_ids"])
def test_transcribed_records_have_both_speech_and_text(missing):
    nothing = np.zeros(0, np.int32)
    parts = {
        "speech": {"speech": None, "word_start_s": np.zeros(0), "word_end_s": np.zeros(0)},
        "text_ids": {"text_ids": nothing, "word_offsets": nothing, "word_start_s": [], "word_end_s": []},
    }
    half = record(5).__class__(**{**vars(record(5)), **parts[missing]})
    evaluation = Evaluation(tiny_lm(), [half, *RECORDS[:3]])
    assert len(evaluation.fitting_records) == 4
    assert evaluation.transcribed_records == RECORDS[:3]
