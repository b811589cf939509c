import dataclasses

import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.suites.losses import HeldOutLoss
from spirit_jax.evals.task import measure
from spirit_jax.scoring.likelihood import log_probs
from spirit_jax.tokens.interleave import Arrangement, Spans
from spirit_jax.tokens.vocabulary import merge
from tests.generation.world import records, tiny_lm

SPANS = Spans((2, 4), (1, 3))
RECORDS = records(30)


def loss(lm, some, **options):
    return measure(HeldOutLoss(), Evaluation(lm, some, SPANS, **options))


def test_loss_is_the_mean_over_tokens_of_a_class():
    lm = tiny_lm()
    losses = loss(lm, RECORDS[:3]).details
    vocabulary = lm.vocabulary
    documents = [
        np.concatenate(
            [
                [vocabulary.bos, vocabulary.speech_tag],
                vocabulary.encode_stream(*merge(record.speech, vocabulary.streams)[:2]),
            ]
        )
        for record in RECORDS[:3]
    ]
    scored = [log_probs(lm.llama, [(ids[:1], ids[1:])])[0] for ids in documents]
    assert losses["speech"]["nll"]["speech"] == pytest.approx(
        -np.concatenate([part[1:] for part in scored]).mean(), rel=1e-4
    )
    assert "text" not in losses["speech"]["nll"]
    assert losses["text"]["tokens"]["speech"] == 0
    assert set(losses["interleaved"]["nll"]) == {"text", "speech", "tag"}
    assert losses["interleaved"]["tokens"]["tag"] >= 2 * 3


def test_the_value_is_the_mean_over_all_targets():
    result = loss(tiny_lm(), RECORDS[:5])
    parts = [
        (mean, part["tokens"][name])
        for arrangement in ("text", "speech", "interleaved")
        for part in [result.details[arrangement]]
        for name, mean in part["nll"].items()
    ]
    means, tokens = np.array(parts).T
    assert result.value == pytest.approx((means * tokens).sum() / tokens.sum(), rel=1e-5)
    assert result.interval[0] < result.value < result.interval[1]
    assert result.n == 5


def test_speech_after_its_text_is_measured_where_the_model_has_learned_to_read_aloud():
    lm = tiny_lm()
    models = [dataclasses.replace(lm, arrangements=frozenset(some)) for some in ((), {Arrangement.TTS})]
    without, result = (loss(one, RECORDS[:3]) for one in models)
    assert "tts" not in without.details
    assert "asr" not in result.details
    assert result.value == without.value
    vocabulary, marker = lm.vocabulary, lm.tokenizer.encode(lm.format.tts_marker)
    pairs = []
    for record in RECORDS[:3]:
        given = [vocabulary.bos, vocabulary.text_tag, *marker, *record.text_ids, vocabulary.speech_tag]
        speech = vocabulary.encode_stream(*merge(record.speech, vocabulary.streams)[:2])
        pairs.append((np.array(given, np.int32), speech))
    expected = -np.concatenate(log_probs(lm.llama, pairs)).mean()
    assert result.details["tts"]["nll"]["speech"] == pytest.approx(expected, rel=1e-4)


def test_expressive_records_are_evaluated_too():
    result = loss(tiny_lm(expressive=True), records(10, expressive=True))
    assert result.details["speech"]["tokens"]["speech"] > 0


def test_long_records_are_cut_and_no_target_is_lost():
    whole, cut = loss(tiny_lm(), RECORDS[:12]), loss(tiny_lm(), RECORDS[:12], max_tokens=30)
    assert cut.details["interleaved"]["tokens"] == whole.details["interleaved"]["tokens"]
    assert cut.n == whole.n == 12
