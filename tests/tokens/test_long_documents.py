"""Documents longer than a row: each stretch begins as a prompt does, and no id is lost or predicted twice."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.interleave import Arrangement, arrange
from spirit_jax.tokens.long_documents import check_length, cut_document
from spirit_jax.tokens.prompt_format import PromptFormat, Task
from spirit_jax.tokens.vocabulary import Modality, TokenClass, Vocabulary
from tests.tokens.test_interleave import BASE, EXPRESSIVE, SPANS, TEXT, make_record


def document_of(seed, arrangement, vocabulary, words=40) -> np.ndarray:
    record = make_record(seed, words, expressive=len(vocabulary.streams) > 1)
    return arrange(record, arrangement, vocabulary, SPANS, np.random.default_rng(seed))[0]


cases = hypothesis.given(
    st.integers(0, 1000),
    st.sampled_from(list(Arrangement)),
    st.sampled_from([BASE, EXPRESSIVE]),
    st.integers(8, 200),
)


@cases
@hypothesis.settings(max_examples=100)
def test_every_id_is_a_target_once_and_no_stretch_is_longer_than_a_row(seed, arrangement, vocabulary, length):
    document = document_of(seed, arrangement, vocabulary)
    stretches = cut_document(document, length, vocabulary)
    targets = np.concatenate([ids[given:] for ids, given in stretches])
    np.testing.assert_array_equal(targets, document[1:])
    assert all(len(ids) <= length + 1 and given < len(ids) for ids, given in stretches)
    assert all(len(ids) == length + 1 for ids, _ in stretches[:-1]), "all but the last fill a row"


def modality_at(document, place, vocabulary) -> int:
    """The tag in force there."""
    tags = np.flatnonzero(vocabulary.classes_of(document[: place + 1]) == TokenClass.TAG)
    return int(document[tags[-1]])


@cases
@hypothesis.settings(max_examples=100)
def test_every_stretch_begins_with_what_a_prompt_of_its_place_begins_with(
    seed, arrangement, vocabulary, length
):
    document = document_of(seed, arrangement, vocabulary)
    begin = 1
    for ids, given in cut_document(document, length, vocabulary):
        assert ids[0] == vocabulary.bos
        if document[begin] != vocabulary.eos:
            tag = modality_at(document, begin, vocabulary)
            assert ids[1] == tag, "a tag follows BOS, as in a prompt"
            if tag == vocabulary.speech_tag:
                assert codes_before_units(ids) == codes_in_force_at(document, begin, vocabulary)
        begin += len(ids) - given


def codes_before_units(ids) -> list[int]:
    """The pitch and style after the tag, up to the first unit."""
    at = 2
    while at < len(ids) and ids[at] >= EXPRESSIVE.starts[1]:
        at += 1
    return ids[2:at].tolist()


def codes_in_force_at(document, begin, vocabulary) -> list[int]:
    """One by one: what was said last of style and pitch, unless it is said again before the next unit."""
    last, said, at = {}, [], begin
    starts = [*vocabulary.starts, vocabulary.size]
    for id in document[:begin]:
        for stream in range(1, len(vocabulary.streams)):
            if starts[stream] <= id < starts[stream + 1]:
                last[stream] = int(id)
    at += document[at] == vocabulary.speech_tag
    while starts[1] <= document[at] < starts[-1]:
        said.append(int(document[at]))
        at += 1
    again = {stream for stream in last for id in said if starts[stream] <= id < starts[stream + 1]}
    if document[begin] == vocabulary.speech_tag:
        return said
    return [last[stream] for stream in sorted(last, reverse=True) if stream not in again] + said


def test_a_stretch_of_a_long_recording_is_the_prompt_that_says_it():
    stretches = cut_document(document_of(0, Arrangement.SPEECH, BASE), 50, BASE)
    assert len(stretches) > 3
    for ids, given in stretches[1:]:
        prompt = PromptFormat(BASE, None, "", "").encode([ids[given:]], Task.CONTINUE, Modality.SPEECH)  # pyright: ignore[reportArgumentType]
        np.testing.assert_array_equal(ids, prompt)


def test_text_alone_begins_with_bos():
    document = np.array([TEXT.bos, *range(10, 60), TEXT.eos], np.int32)
    stretches = cut_document(document, 16, TEXT)
    assert len(stretches) == 4
    assert all((ids[0], given) == (TEXT.bos, 1) for ids, given in stretches)


@pytest.mark.parametrize("size", [0, 1])
def test_a_document_without_a_target_has_no_stretch(size):
    assert cut_document(np.ones(size, np.int32), 32, BASE) == []


@pytest.mark.parametrize("size", [2, 33])
def test_a_document_that_fits_is_left_as_it_is(size):
    document = np.arange(size, dtype=np.int32)
    ((ids, given),) = cut_document(document, 32, BASE)
    assert (ids is document, given) == (True, 1)


@pytest.mark.parametrize(("vocabulary", "least"), [(TEXT, 1), (BASE, 2), (EXPRESSIVE, 4)])
def test_rows_that_a_head_fills_are_refused(vocabulary: Vocabulary, least: int):
    check_length(least, vocabulary)
    with pytest.raises(UserError, match=f"tokens of a row = {least - 1}.*data.sequence_length"):
        check_length(least - 1, vocabulary)
