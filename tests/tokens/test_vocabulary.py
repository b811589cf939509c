"""Id ranges, padding, banned ids, and the merged stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE
from spirit_jax.tokens.vocabulary import Modality, TokenClass, Vocabulary, merge
from tests.speech_codes import make_speech, make_vocabulary

BASE, EXPRESSIVE, TEXT = Vocabulary.base(), Vocabulary.expressive(), Vocabulary.text_only(500)
VOCABULARIES = pytest.mark.parametrize(
    "vocabulary", [BASE, EXPRESSIVE, TEXT, make_vocabulary(300, 100, 0, 20)]
)
codes = st.lists(st.integers(0, 7), max_size=60)


def test_ids_are_the_published_ones():
    assert (BASE.text_tag, BASE.speech_tag, BASE.speech_start, BASE.size) == (32000, 32001, 32002, 32503)
    assert (*EXPRESSIVE.starts.tolist(), EXPRESSIVE.size) == (32002, 32503, 32567, 32667)


@pytest.mark.parametrize("multiple", [128, 256])
def test_rows_are_the_published_ones(multiple):
    assert (BASE.rows(multiple), EXPRESSIVE.rows(multiple)) == (32512, 32768)
    assert (BASE.rows(), EXPRESSIVE.rows()) == (32512, 32768)


@VOCABULARIES
@pytest.mark.parametrize("multiple", [1, 8, 128, 512])
def test_rows_hold_every_id_and_shard(vocabulary, multiple):
    rows = vocabulary.rows(multiple)
    assert rows % multiple == 0
    assert vocabulary.size <= rows < vocabulary.size + multiple


@VOCABULARIES
def test_pieces_name_the_ids_in_order(vocabulary):
    pieces = vocabulary.added_tokens()
    assert len(pieces) == len(set(pieces)) == vocabulary.size - vocabulary.text_size
    for stream, start in zip(vocabulary.streams, vocabulary.starts):
        assert pieces.index(f"[{stream.mark}0]") == start - vocabulary.text_size


@VOCABULARIES
def test_dictionary_round_trip(vocabulary):
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary


def test_a_dictionary_with_other_keys_is_refused():
    with pytest.raises(UserError, match="vocabulary keys"):
        Vocabulary.from_dict({**BASE.to_dict(), "tones": 5})


@pytest.mark.parametrize("sizes", [(501, 0, 0), (501, 64, 100), (9, 3, 0), (0, 0, 0)])
def test_a_dictionary_of_an_earlier_version_is_read(sizes):
    counts = dict(zip(("units", "pitches", "styles"), sizes))
    earlier = {"text_size": 32_000, "bos": 1, "eos": 2, "unk": 0, **counts}
    assert Vocabulary.from_dict(earlier) == make_vocabulary(32_000, *sizes)


@pytest.mark.parametrize("values", [{"eos": 32_000}, {"bos": -1}, {"streams": PUBLISHED_EXPRESSIVE[1:]}])
def test_impossible_layouts_are_refused(values):
    with pytest.raises(UserError):
        Vocabulary(32_000, **values)


def test_text_only_has_no_tags():
    assert TEXT.size == TEXT.text_size
    assert not TEXT.added_tokens()
    with pytest.raises(UserError, match="no tags"):
        _ = TEXT.text_tag


@VOCABULARIES
@pytest.mark.parametrize("modality", list(Modality))
def test_banned_ids(vocabulary, modality):
    if modality is Modality.SPEECH and not vocabulary.has_speech:
        with pytest.raises(UserError, match="no speech"):
            vocabulary.forbidden(modality)
        return
    for rows in (vocabulary.rows(), vocabulary.size + 1000):
        banned = vocabulary.forbidden(modality, rows)
        classes = vocabulary.classes_of(np.arange(vocabulary.size))
        assert banned.shape == (rows,)
        assert banned[vocabulary.size :].all()
        allowed = {
            Modality.TEXT: classes == TokenClass.TEXT,
            Modality.SPEECH: classes == TokenClass.SPEECH,
        }.get(modality, classes >= 0)
        np.testing.assert_array_equal(~banned[: vocabulary.size], allowed)


def test_token_classes():
    ids = np.array([[0, 1, 31999, 32000, 32001], [32002, 32502, 32503, 32666, 32667]])
    text, speech, tag = TokenClass
    np.testing.assert_array_equal(EXPRESSIVE.classes_of(ids), [[text] * 3 + [tag] * 2, [speech] * 4 + [text]])
    assert EXPRESSIVE.classes_of(ids).dtype == np.int8


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 63))))
def test_streams_and_ids_round_trip(stream):
    kind, code = np.array([k for k, _ in stream], np.int8), np.array([c for _, c in stream], np.int32)
    ids = EXPRESSIVE.encode_stream(kind, code)
    assert ids.dtype == np.int32
    assert [EXPRESSIVE.added_tokens()[id - EXPRESSIVE.text_size] for id in ids] == [
        f"[{('Hu', 'Pi', 'St')[k]}{c}]" for k, c in stream
    ]
    mixed = np.insert(np.insert(ids, len(ids) // 2, EXPRESSIVE.text_tag), 0, [1, 17, EXPRESSIVE.size])
    for found, wanted in zip(EXPRESSIVE.decode_stream(mixed), (kind, code)):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("code", [501, -1])
def test_a_code_without_an_id_is_refused(code):
    with pytest.raises(UserError, match="codes"):
        BASE.encode_stream(np.array([0, 0]), np.array([3, code]))


def test_a_stream_outside_the_table_is_refused():
    with pytest.raises(UserError, match="speech streams = pitch"):
        merge(make_speech([1], [2]), BASE.streams)


def merge_by_the_rule(units, pitch, style):
    """Spec section 2, in plain Python: at equal times style, pitch, unit."""
    tokens = [(index / 1, 2, code) for index, code in enumerate(style)]
    for stream, rate, codes in ((1, 12.5, pitch), (0, 24.99, units)):
        tokens += [
            (index / rate, stream, code)
            for index, code in enumerate(codes)
            if index == 0 or code != codes[index - 1]
        ]
    return sorted(tokens, key=lambda token: (token[0], -token[1]))


@given(codes, codes, codes)
@settings(max_examples=200)
def test_merge_follows_the_rule(units, pitch, style):
    speech = make_speech(np.array(units), np.array(pitch), np.array(style))
    stream, code, time = merge(speech, EXPRESSIVE.streams)
    assert list(zip(time, stream, code, strict=True)) == merge_by_the_rule(units, pitch, style)


def test_merge_without_pitch_and_style_deduplicates_units():
    stream, code, _ = merge(make_speech(np.array([5, 5, 7, 7, 5])), BASE.streams)
    assert code.tolist() == [5, 7, 5]
    assert set(stream) == {0}
    assert len(merge(make_speech(np.zeros(0)), BASE.streams)[0]) == 0
