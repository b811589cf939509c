import numpy as np
import pytest

from spirit_jax.evals.suites.continuations import DIRECTIONS, cut_word, make_items, words_of
from spirit_jax.tokens.vocabulary import Modality, merge
from tests.generation.world import record, records, sentence, tokenizer, vocabulary

RECORDS = records(40)


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
    for item, right in zip(items, RECORDS):
        assert len(item.wrong) == 4
        assert len({target.tobytes() for target in (item.right, *item.wrong)}) == 5
        voiced = {other.right.tobytes() for other, owner in zip(items, RECORDS) if owner.voice == right.voice}
        assert all(target.tobytes() in voiced for target in item.wrong)
        assert max(abs(len(target) - len(item.right)) for target in item.wrong) <= 3


def test_a_speech_prompt_and_a_text_target_are_the_two_parts_of_one_sentence():
    item = make_items(RECORDS, DIRECTIONS[0], vocabulary(), tokenizer())[3]
    said, written = sentence(3 * 37).split(", ")
    assert tokenizer().decode(item.right[1:]) == written
    assert item.right[0] == vocabulary().text_tag
    whole = vocabulary().encode_stream(*merge(RECORDS[3].speech, vocabulary().streams)[:2])
    assert item.prompt[:2].tolist() == [vocabulary().bos, vocabulary().speech_tag]
    np.testing.assert_array_equal(item.prompt[2:], whole[: len(item.prompt) - 2])
    assert len(item.prompt) - 2 <= 4 * len(said.split())


def test_items_are_the_same_for_a_seed():
    def targets(seed):
        return [
            target.tobytes()
            for item in make_items(RECORDS, DIRECTIONS[3], vocabulary(), tokenizer(), seed=seed)
            for target in item.wrong
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
