import dataclasses

import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.suites.continuations import (
    DIRECTIONS,
    ContinuationChoice,
    count_wins,
    cut_word,
    make_items,
    words_of,
)
from spirit_jax.evals.task import measure
from spirit_jax.tokens.interleave import Spans
from spirit_jax.tokens.vocabulary import Modality, Vocabulary, merge
from tests.evals.fakes import PlantedModel
from tests.generation.world import record, records, sentence, tiny_lm, tokenizer, vocabulary

RECORDS = records(40)
NONE = np.zeros(0, np.float32)


def test_words_come_back_with_their_punctuation():
    assert words_of(record(11), tokenizer()) == sentence(11).split()


@pytest.mark.parametrize(
    ("words", "allowed", "cut"),
    [
        ("a b, c d e f", range(1, 6), 2),
        ("a, b c, d e f", range(1, 6), 3),
        ("a b c, d", [1, 2], 2),
        ("a b c d e f", range(1, 6), 3),
        ("a b c d e f g", [1, 6], 1),
        ("a b", [], None),
    ],
)
def test_the_cut_is_at_the_comma_nearest_the_middle_else_in_the_middle(words, allowed, cut):
    assert cut_word(words.split(), np.array(allowed, int)) == cut


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda direction: direction.name)
def test_distractors_share_voice_and_length_and_say_something_else(direction):
    grammar = vocabulary()
    items = make_items(RECORDS, direction, grammar, tokenizer())
    assert len(items) == len(RECORDS)
    for item, own in zip(items, RECORDS):
        assert len(item.distractors) == 4
        assert len({target.tobytes() for target in (item.target, *item.distractors)}) == 5
        same_voice = {
            other.target.tobytes() for other, owner in zip(items, RECORDS) if owner.voice == own.voice
        }
        assert all(target.tobytes() in same_voice for target in item.distractors)
        assert max(abs(len(target) - len(item.target)) for target in item.distractors) <= 3


def test_a_text_that_was_tokenised_whole_is_cut_where_its_words_begin():
    """By a model of texts alone; one with speech cuts what was spoken."""
    silent = {"speech": None, "word_start_s": NONE, "word_end_s": NONE}
    words = [dataclasses.replace(one, **silent) for one in records(20)]
    whole = [dataclasses.replace(one, word_offsets=np.zeros(0, np.int32)) for one in words]
    direction, texts = DIRECTIONS[3], Vocabulary.text_only(tokenizer().size)
    found, expected = (make_items(each, direction, texts, tokenizer()) for each in (whole, words))
    assert len(found) == len(expected) > 0
    for item, other in zip(found, expected):
        np.testing.assert_array_equal(item.prompt, other.prompt)
        np.testing.assert_array_equal(item.target, other.target)
    assert make_items(whole, direction, vocabulary(), tokenizer()) == []


def test_a_speech_prompt_and_a_text_target_are_the_two_parts_of_one_sentence():
    item = make_items(RECORDS, DIRECTIONS[0], vocabulary(), tokenizer())[3]
    said, written = sentence(3 * 37).split(", ")
    assert tokenizer().decode(item.target[1:]) == written
    assert item.target[0] == vocabulary().text_tag
    whole = vocabulary().encode_stream(*merge(RECORDS[3].speech, vocabulary().streams)[:2])
    assert item.prompt[:2].tolist() == [vocabulary().bos, vocabulary().speech_tag]
    np.testing.assert_array_equal(item.prompt[2:], whole[: len(item.prompt) - 2])
    assert len(item.prompt) - 2 <= 4 * len(said.split())


def test_items_are_the_same_for_a_seed():
    def targets(seed):
        return [
            target.tobytes()
            for item in make_items(RECORDS, DIRECTIONS[3], vocabulary(), tokenizer(), seed=seed)
            for target in item.distractors
        ]

    assert targets(1) == targets(1)
    assert targets(1) != targets(2)


def test_unaligned_and_lonely_records_give_no_item():
    assert make_items([record(1), record(2)], DIRECTIONS[0], vocabulary(), tokenizer()) == []
    assert (
        make_items(
            [record(1, aligned=False), record(3, aligned=False)], DIRECTIONS[0], vocabulary(), tokenizer()
        )
        == []
    )


def test_directions_cover_all_four():
    assert {(direction.prompt, direction.target) for direction in DIRECTIONS} == {
        (left, right)
        for left in (Modality.TEXT, Modality.SPEECH)
        for right in (Modality.TEXT, Modality.SPEECH)
    }


def choose(direction, model, some=RECORDS, **options):
    return measure(ContinuationChoice(direction), Evaluation(model, some, Spans((2, 4), (1, 3)), **options))


def answers(direction):
    return {
        item.prompt.tobytes(): item.target.tobytes()
        for item in make_items(RECORDS, direction, vocabulary(), tokenizer())
    }


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda direction: direction.name)
def test_a_model_that_knows_is_always_right_and_one_that_lies_never(direction):
    answer = answers(direction)
    for sign, expected in ((1, 1.0), (-1, 0.0)):
        result = choose(
            direction,
            PlantedModel(lambda prompt, target, s=sign: s * (answer[prompt.tobytes()] == target.tobytes())),
        )
        assert (result.value, result.interval) == (expected, (expected, expected))
        assert result.details["pairs"] == 4 * result.n == 160
        assert [row["wins"] for row in result.rows] == [4 * expected] * result.n
        assert {len(row["candidates"]) for row in result.rows} == {5}
        assert result.rows[0]["means"] == [sign, 0, 0, 0, 0]


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda direction: direction.name)
def test_a_uniform_model_scores_half(direction):
    assert choose(direction, PlantedModel(lambda prompt, target: -1.0)).value == 0.5


def test_length_decides_the_sums_but_not_the_means():
    result = choose(DIRECTIONS[0], PlantedModel(lambda prompt, target: -1.0))
    lengths = [
        (len(item.target), len(distractor))
        for item in make_items(RECORDS, DIRECTIONS[0], vocabulary(), tokenizer())
        for distractor in item.distractors
    ]
    expected = np.mean([(own < other) + 0.5 * (own == other) for own, other in lengths])
    assert result.details["value_of_sums"] == pytest.approx(expected)


def test_ties_count_half():
    assert count_wins(np.array([2.0, 1.0, 2.0, 3.0])) == 1.5


def test_an_untrained_model_chooses_by_chance():
    result = choose(DIRECTIONS[0], tiny_lm(), RECORDS[:30])
    assert 0.25 < result.value < 0.75
    assert result.interval[0] < result.value < result.interval[1]


def test_expressive_records_are_evaluated_too():
    assert choose(DIRECTIONS[1], tiny_lm(expressive=True), records(10, expressive=True)).n == 10


def test_records_that_do_not_fit_give_no_item():
    result = choose(DIRECTIONS[0], tiny_lm(), RECORDS[:12], max_tokens=30)
    assert (result.value, result.n) == (None, 0)
