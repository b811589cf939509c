"""Arrangements of a record: nothing lost, nothing moved, tags at changes only, spans as long as asked, cut
where the words are.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange, boundaries, continuation
from spirit_jax.tokens.streams import duration_s
from spirit_jax.tokens.vocabulary import Modality, TokenClass, Vocabulary, merge
from tests.speech_codes import make_speech

BASE, EXPRESSIVE, TEXT = Vocabulary.base(2000), Vocabulary.expressive(2000), Vocabulary.text_only(2000)
SPANS = Spans(text=(2, 4), speech=(1, 3))


def make_record(seed, words=20, expressive=True, word_s=0.4):
    """A record with random words, times and codes; text ids count up from 3 so that a word is known by its
    tokens.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 4, words)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    starts = np.sort(rng.uniform(0, words * word_s, words)).astype(np.float32)
    if words > 4 and seed % 2:
        starts[3] = starts[2]  # a pair under one time
    count = int(25 * words * word_s) + 5
    units = np.repeat(rng.integers(0, 501, count), rng.integers(1, 4, count))[:count]
    extra = (
        (np.repeat(rng.integers(0, 64, count), 3)[: count // 2], rng.integers(0, 100, count // 25 + 1))
        if expressive
        else (None, None)
    )
    return Record(
        "r",
        "s",
        "v",
        make_speech(units, *extra),
        np.arange(3, 3 + offsets[-1], dtype=np.int32),
        offsets,
        starts,
        starts + 0.1,
    )


def unaligned(record):
    return dataclasses.replace(
        record, word_start_s=np.zeros(0, np.float32), word_end_s=np.zeros(0, np.float32)
    )


def spans_of(document, vocabulary):
    """The document's (modality, ids) without BOS, EOS and tags, which must alternate."""
    assert document[0] == vocabulary.bos
    assert document[-1] == vocabulary.eos
    body = document[1:-1]
    at = np.flatnonzero(vocabulary.classes_of(body) == TokenClass.TAG)
    assert at[0] == 0
    assert (np.diff(body[at]) != 0).all(), "a tag without a change"
    found = []
    for begin, end in zip(at, [*at[1:], len(body)]):
        modality = Modality.TEXT if body[begin] == vocabulary.text_tag else Modality.SPEECH
        ids = body[begin + 1 : end]
        wanted = TokenClass.TEXT if modality is Modality.TEXT else TokenClass.SPEECH
        assert len(ids)
        assert (vocabulary.classes_of(ids) == wanted).all()
        found.append((modality, ids))
    return found


def without_repeats(ids, begin, record, vocabulary):
    """A speech span less the style and pitch that were in force at stream place `begin` and are
    said again.
    """
    kind, code, _ = merge(record.speech, vocabulary.streams)
    said = [vocabulary.encode_stream(kind[at : at + 1], code[at : at + 1])[0] for at in in_force(kind, begin)]
    assert ids[: len(said)].tolist() == said
    return ids[len(said) :]


def in_force(kind, begin):
    lead = begin + np.flatnonzero(kind[begin:] == 0)[0]
    for which in (2, 1):
        before = np.flatnonzero(kind[:begin] == which)
        if len(before) and which not in kind[begin:lead]:
            yield before[-1]


seeds = st.integers(0, 10_000)


@given(seeds, st.integers(1, 40), st.sampled_from([BASE, EXPRESSIVE]))
@settings(max_examples=100)
def test_the_other_modality_covers_exactly_the_words_between(seed, words, vocabulary):
    """Walks the document: each span is the words or the stream tokens that come next, so all is there in
    order.
    """
    record = make_record(seed, words, vocabulary is EXPRESSIVE)
    kind, code, time = merge(record.speech, vocabulary.streams)
    stream = vocabulary.encode_stream(kind, code)
    cuts = np.concatenate([[0], np.searchsorted(time, record.word_start_s[1:]), [len(stream)]])
    (document,) = arrange(record, Arrangement.INTERLEAVED, vocabulary, SPANS, np.random.default_rng(seed))
    word, spans = 0, spans_of(document, vocabulary)
    for place, (modality, ids) in enumerate(spans):
        if modality is Modality.TEXT:
            last = int(np.searchsorted(record.word_offsets, record.word_offsets[word] + len(ids)))
            np.testing.assert_array_equal(
                ids, record.text_ids[record.word_offsets[word] : record.word_offsets[last]]
            )
        else:
            ids = without_repeats(ids, cuts[word], record, vocabulary)
            assert (vocabulary.decode_stream(ids)[0] == 0).any()
            (last,) = (
                b for b in [*boundaries(record, vocabulary), words] if cuts[b] == cuts[word] + len(ids)
            )
            np.testing.assert_array_equal(ids, stream[cuts[word] : cuts[last]])
        low, high = SPANS.text if modality is Modality.TEXT else SPANS.speech
        check_length(record, vocabulary, word, last, low, high, place == len(spans) - 1)
        word = last
    assert word == words


def check_length(record, vocabulary, word, last, low, high, tail):
    """Within bounds, but for the tail, and for words that share a time, which stay
    together.
    """
    allowed = [*boundaries(record, vocabulary), record.words]
    longest = min((b for b in allowed if b >= word + high), default=record.words)
    assert word < last <= longest
    assert tail or last >= word + low


@given(seeds, st.sampled_from([BASE, EXPRESSIVE]))
@settings(max_examples=30)
def test_speech_is_deduplicated_before_it_is_cut(seed, vocabulary):
    """A run of equal units across a cut is said once: the spans hold as many units as the whole stream."""
    record = make_record(seed, 20, vocabulary is EXPRESSIVE)
    all_speech = dataclasses.replace(SPANS, text=(1, 1), speech=(1, 1), speech_first=1.0)
    (document,) = arrange(
        record, Arrangement.INTERLEAVED, vocabulary, all_speech, np.random.default_rng(seed)
    )
    (swapped,) = arrange(
        record,
        Arrangement.INTERLEAVED,
        vocabulary,
        dataclasses.replace(all_speech, speech_first=0.0),
        np.random.default_rng(seed),
    )
    units = sum(int((vocabulary.decode_stream(ids)[0] == 0).sum()) for ids in (document, swapped))
    assert units == int((merge(record.speech, vocabulary.streams)[0] == 0).sum())
    text = sum(
        int((vocabulary.classes_of(ids[1:-1]) == TokenClass.TEXT).sum()) for ids in (document, swapped)
    )
    assert text == len(record.text_ids)


def test_the_same_seed_gives_the_same_document_and_others_differ():
    record = make_record(3, 60)
    draws = [
        arrange(record, Arrangement.INTERLEAVED, EXPRESSIVE, SPANS, np.random.default_rng(seed))[0]
        for seed in (0, 0, *range(1, 9))
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert len({draw.tobytes() for draw in draws}) == 9


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_which_modality_starts(first):
    spans = dataclasses.replace(SPANS, speech_first=first)
    for seed in range(5):
        (document,) = arrange(
            make_record(seed), Arrangement.INTERLEAVED, EXPRESSIVE, spans, np.random.default_rng(seed)
        )
        assert document[1] == (EXPRESSIVE.speech_tag if first else EXPRESSIVE.text_tag)


def test_span_lengths_use_their_whole_range():
    record = make_record(2, 400)
    (document,) = arrange(record, Arrangement.INTERLEAVED, EXPRESSIVE, SPANS, np.random.default_rng(0))
    texts = [ids for modality, ids in spans_of(document, EXPRESSIVE) if modality is Modality.TEXT][:-1]
    begins = np.searchsorted(record.word_offsets, [ids[0] - 3 for ids in texts])
    ends = np.searchsorted(record.word_offsets, [ids[-1] - 2 for ids in texts])
    assert {2, 3, 4} <= set(ends - begins)


def test_poisson_spans_have_their_means_and_no_empty_span():
    spans = dataclasses.replace(SPANS, poisson=(70 / 3, 10))
    for modality, mean in ((Modality.TEXT, 70 / 3), (Modality.SPEECH, 10)):
        rng = np.random.default_rng(0)
        drawn = np.array([spans.draw(modality, rng) for _ in range(4000)])
        assert drawn.min() >= 1
        assert abs(drawn.mean() - mean) < 4 * (mean / 4000) ** 0.5
        assert 0.9 < drawn.var() / mean < 1.1
    short = dataclasses.replace(SPANS, poisson=(0.1, 0.1))
    assert min(short.draw(Modality.TEXT, np.random.default_rng(seed)) for seed in range(50)) == 1


def test_poisson_spans_cover_their_share_of_the_words():
    """Speech of 10 words in 30 % of the words, as others draw it."""
    record, spans = make_record(1, 400, False), dataclasses.replace(SPANS, poisson=(70 / 3, 10))
    shares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        (document,) = arrange(record, Arrangement.INTERLEAVED, BASE, spans, rng)
        text = (BASE.classes_of(document[1:-1]) == TokenClass.TEXT).sum()
        shares.append(1 - text / len(record.text_ids))
    assert 0.25 < np.mean(shares) < 0.35


@pytest.mark.parametrize("vocabulary", [BASE, EXPRESSIVE])
def test_whole_arrangements(vocabulary):
    record, marker = make_record(0, expressive=vocabulary is EXPRESSIVE), [7, 8]
    stream = vocabulary.encode_stream(*merge(record.speech, vocabulary.streams)[:2]).tolist()
    text, rng = record.text_ids.tolist(), np.random.default_rng(0)
    speech, words = [vocabulary.speech_tag, *stream], [vocabulary.text_tag, *text]
    wanted = {
        Arrangement.SPEECH: speech,
        Arrangement.TEXT: words,
        Arrangement.ASR: [*speech, vocabulary.text_tag, *marker, *text],
        Arrangement.TTS: [vocabulary.text_tag, *marker, *text, *speech],
    }
    for arrangement, body in wanted.items():
        for eos in (True, False):
            (document,) = arrange(record, arrangement, vocabulary, SPANS, rng, marker, marker, append_eos=eos)
            assert document.dtype == np.int32
            assert document.tolist() == [vocabulary.bos, *body, *([vocabulary.eos] if eos else [])]


def test_text_only_vocabulary_has_no_tag_and_no_speech():
    record, rng = make_record(0), np.random.default_rng(0)
    (document,) = arrange(record, Arrangement.TEXT, TEXT, SPANS, rng)
    assert document.tolist() == [TEXT.bos, *record.text_ids, TEXT.eos]
    with pytest.raises(UserError, match="text-only"):
        arrange(record, Arrangement.SPEECH, TEXT, SPANS, rng)


@given(seeds, st.integers(1, 40), st.sampled_from([BASE, EXPRESSIVE]))
@settings(max_examples=100)
def test_word_transcription_says_each_word_and_then_writes_it(seed, words, vocabulary):
    """In pairs of one word each, or of those between which speech can't be cut; nothing is lost."""
    record = make_record(seed, words, vocabulary is EXPRESSIVE)
    kind, code, time = merge(record.speech, vocabulary.streams)
    stream = vocabulary.encode_stream(kind, code)
    cuts = np.concatenate([[0], np.searchsorted(time, record.word_start_s[1:]), [len(stream)]])
    (document,) = arrange(
        record, Arrangement.WORD_TRANSCRIPTION, vocabulary, SPANS, np.random.default_rng(0), (7,), (8,)
    )
    spans, first = spans_of(document, vocabulary), 0
    bounds = [*boundaries(record, vocabulary), words]
    assert len(spans) == 2 * len(bounds)
    for last, (said, speech), (written, text) in zip(bounds, spans[::2], spans[1::2]):
        assert (said, written) == (Modality.SPEECH, Modality.TEXT)
        offsets = record.word_offsets[[first, last]]
        np.testing.assert_array_equal(text, record.text_ids[slice(*offsets)])
        spoken = without_repeats(speech, cuts[first], record, vocabulary)
        np.testing.assert_array_equal(spoken, stream[cuts[first] : cuts[last]])
        first = last


@pytest.mark.parametrize("arrangement", [Arrangement.INTERLEAVED, Arrangement.WORD_TRANSCRIPTION])
def test_without_word_times_speech_and_text_train_apart(arrangement):
    record, rng = unaligned(make_record(0)), np.random.default_rng(0)
    documents = arrange(record, arrangement, EXPRESSIVE, SPANS, rng)
    apart = [
        arrange(record, arrangement, EXPRESSIVE, SPANS, rng)[0]
        for arrangement in (Arrangement.SPEECH, Arrangement.TEXT)
    ]
    assert [document.tolist() for document in documents] == [document.tolist() for document in apart]


@pytest.mark.parametrize("arrangement", list(Arrangement))
def test_missing_parts_give_no_document(arrangement):
    record, rng = unaligned(make_record(0, expressive=False)), np.random.default_rng(0)
    no_speech = dataclasses.replace(record, speech=None)
    silent = dataclasses.replace(record, speech=make_speech(np.zeros(0)))
    no_text = dataclasses.replace(record, text_ids=record.text_ids[:0], word_offsets=record.word_offsets[:1])
    either = {way for way in Arrangement if way.needs_word_times}
    of_text, of_speech = {Arrangement.TEXT, *either}, {Arrangement.SPEECH, *either}
    assert len(arrange(no_speech, arrangement, BASE, SPANS, rng)) == (arrangement in of_text)
    assert len(arrange(silent, arrangement, BASE, SPANS, rng)) == (arrangement in of_text)
    assert len(arrange(no_text, arrangement, BASE, SPANS, rng)) == (arrangement in of_speech)


@pytest.mark.parametrize("vocabulary", [BASE, EXPRESSIVE])
@pytest.mark.parametrize("prompt", [Modality.TEXT, Modality.SPEECH])
@pytest.mark.parametrize("target", [Modality.TEXT, Modality.SPEECH])
def test_a_continuation_is_the_record_cut_in_two(vocabulary, prompt, target):
    record = make_record(1, expressive=vocabulary is EXPRESSIVE)
    kind, code, time = merge(record.speech, vocabulary.streams)
    stream = vocabulary.encode_stream(kind, code)
    for word in boundaries(record, vocabulary):
        cut, offset = int(np.searchsorted(time, record.word_start_s[word])), record.word_offsets[word]
        first = {
            Modality.TEXT: [vocabulary.text_tag, *record.text_ids[:offset]],
            Modality.SPEECH: [vocabulary.speech_tag, *stream[:cut]],
        }
        begin, end = continuation(record, int(word), prompt, target, vocabulary)
        assert begin.tolist() == [vocabulary.bos, *first[prompt]]
        if prompt is not target:
            assert end[0] == (vocabulary.text_tag if target is Modality.TEXT else vocabulary.speech_tag)
            end = end[1:] if target is Modality.TEXT else without_repeats(end[1:], cut, record, vocabulary)
        np.testing.assert_array_equal(
            end, record.text_ids[offset:] if target is Modality.TEXT else stream[cut:]
        )


def test_continuations_are_refused_where_speech_cannot_be_cut():
    record = make_record(1)  # words 2 and 3 share a time
    assert 3 not in boundaries(record, EXPRESSIVE)
    with pytest.raises(UserError, match="word index = 3"):
        continuation(record, 3, Modality.SPEECH, Modality.TEXT, EXPRESSIVE)
    continuation(record, 3, Modality.TEXT, Modality.TEXT, EXPRESSIVE)
    assert len(boundaries(unaligned(record), EXPRESSIVE)) == 0
    for word in (0, record.words):
        with pytest.raises(UserError):
            continuation(record, word, Modality.TEXT, Modality.TEXT, EXPRESSIVE)


@pytest.mark.parametrize("vocabulary", [BASE, EXPRESSIVE])
def test_words_beyond_the_speech_stay_with_the_last_spoken_word(vocabulary):
    """So no span is without units, whatever the word times say."""
    record = make_record(0, expressive=vocabulary is EXPRESSIVE)
    late = record.word_start_s.copy()
    late[-3:] = duration_s(record.speech, vocabulary.streams) + np.arange(3)
    record = dataclasses.replace(record, word_start_s=late)
    assert boundaries(record, vocabulary).max() <= record.words - 4
    for seed in range(20):
        (document,) = arrange(record, Arrangement.INTERLEAVED, vocabulary, SPANS, np.random.default_rng(seed))
        for modality, ids in spans_of(document, vocabulary):
            assert modality is Modality.TEXT or (vocabulary.decode_stream(ids)[0] == 0).any()


def test_word_times_must_match_the_words():
    record = make_record(0)
    with pytest.raises(UserError, match="word times"):
        dataclasses.replace(record, word_start_s=record.word_start_s[:-1])
