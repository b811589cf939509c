import dataclasses

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation import streaming
from spirit_jax.generation.jobs import Continuation, Finish
from spirit_jax.generation.output import Output
from spirit_jax.generation.streaming import NewSound, NewText, NewTokens, Stream
from spirit_jax.tokens.prompt_format import PromptFormat
from tests.generation.world import prompt_format, record, tiny_lm, tokenizer, vocabulary

KNOWN = vocabulary()
FORM = prompt_format()
SPEECH = record(3).speech


class Echo:
    """A codec whose unit is 10 samples of its number and that of the unit 3 later, or 0 at the end: a unit is
    settled when 3 more are there. reach: None for one whose sound depends on the whole utterance.
    """

    def __init__(self, reach=3):
        self.reach, self.sections = reach, []

    def decode(self, spoken, speaker=None, style=None):
        later = np.append(spoken.units, np.zeros(3, int))[3:]
        return np.repeat(spoken.units + 100.0 * later, 10).astype(np.float32)

    def count_settled(self, spoken):
        return 0 if self.reach is None else max(0, len(spoken.units) - self.reach)

    def decode_section(self, spoken, first, last, speaker=None, style=None):
        self.sections.append(last - first)
        return self.decode(spoken)[10 * first : 10 * last]


def units(count, seed=0):
    return (KNOWN.speech_start + np.random.default_rng(seed).integers(0, 40, count)).tolist()


def send(ids, chunk, codec=None, stops=(), least_units=0, form=FORM):
    """The events of a continuation that grows by `chunk` ids at a time."""
    ids = np.array(ids, np.int32)
    log_probs = -np.arange(len(ids), dtype=np.float32)
    stream = Stream(form, lambda: codec, stops, least_units)
    counts = [*range(1, len(ids), chunk), len(ids)]
    return [
        event
        for count in counts
        for event in stream.feed(
            Continuation(ids[:count], log_probs[:count], Finish.EOS if count == len(ids) else None)
        )
    ]


def texts(events):
    parts = {}
    for event in events:
        if isinstance(event, NewText):
            parts[event.part] = parts.get(event.part, "") + event.text
    return parts


def sounds(events):
    parts = {}
    for event in events:
        if isinstance(event, NewSound):
            parts.setdefault(event.part, []).append(event.wav)
    return {part: np.concatenate(wavs) for part, wavs in parts.items()}


@pytest.mark.parametrize("chunk", [1, 4, 1000])
@pytest.mark.parametrize("reach", [3, None])
def test_what_was_sent_together_is_the_whole(chunk, reach):
    words, talk = tokenizer().encode("the fox saw the cow"), units(150)
    ids = [*words, KNOWN.speech_tag, *talk, KNOWN.text_tag, *words, KNOWN.speech_tag, *talk[:9]]
    codec = Echo(reach)
    events = send(ids, chunk, codec)
    tokens = [event for event in events if isinstance(event, NewTokens)]
    assert np.concatenate([event.ids for event in tokens]).tolist() == ids
    assert np.concatenate([event.log_probs for event in tokens]).tolist() == [-n for n in range(len(ids))]
    assert texts(events) == {0: "the fox saw the cow", 2: "the fox saw the cow"}
    whole = {part: codec.decode(said) for part, said in enumerate(FORM.decode(np.array(ids))) if part % 2}
    for part, wav in sounds(events).items():
        np.testing.assert_array_equal(wav, whole.pop(part))
    assert not whole


def test_sound_comes_before_the_speech_has_ended_in_growing_sections():
    codec = Echo()
    events = send(units(150), 4, codec)
    first = next(i for i, event in enumerate(events) if isinstance(event, NewSound))
    heard = sum(len(event.ids) for event in events[:first] if isinstance(event, NewTokens))
    assert heard <= streaming.FIRST_SECTION + 3 + 4
    assert codec.sections[:4] == [8, 8, 16, 32]
    assert max(codec.sections) <= streaming.LONGEST_SECTION


def test_sound_that_depends_on_the_whole_comes_at_the_end_of_its_part():
    codec, words = Echo(None), tokenizer().encode("the")
    events = send([*units(50), KNOWN.text_tag, *words, *words], 1, codec)
    assert codec.sections == [50]
    kinds = [type(event) for event in events]
    assert kinds.index(NewSound) < kinds.index(NewText)


def test_short_speech_is_never_sent():
    words = tokenizer().encode("the fox")
    ids = [KNOWN.speech_tag, *units(23), KNOWN.text_tag, *words, KNOWN.speech_tag, *units(24)]
    for chunk in (1, 5):
        events = send(ids, chunk, Echo(), least_units=24)
        assert texts(events) == {0: "the fox"}
        assert [len(wav) for wav in sounds(events).values()] == [240]


@pytest.mark.parametrize("stop", ["cow", "fox saw", " saw", "ow"])
@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_nothing_is_sent_from_a_stop_on(stop, chunk):
    ids = tokenizer().encode("the fox saw the cow then")
    text = tokenizer().decode(ids)
    assert texts(send(ids, chunk, stops=[stop, "wombat"])) == {0: text[: text.index(stop)]}


def test_letters_that_might_begin_a_stop_are_sent_when_they_do_not():
    ids = tokenizer().encode("the fox saw the cow then")
    assert texts(send(ids, 1, stops=["cowboy", "thenx"])) == {0: tokenizer().decode(ids)}


def test_no_half_of_a_character_is_sent():
    """A character outside the tokenizer's alphabet is several byte tokens."""
    ids = tokenizer().encode("the é fox 日本")
    assert len(ids) > 9
    events = send(ids, 1)
    assert texts(events) == {0: tokenizer().decode(ids)}
    assert not any("\ufffd" in event.text for event in events if isinstance(event, NewText))


@pytest.mark.parametrize("output", ["text", "speech", "arbitrary"])
def test_a_stream_ends_with_what_generate_gives(output):
    lm, options = tiny_lm(), {"max_new_tokens": 90, "seed": 3, "temperature": 1.0, "top_p": 1.0}
    events = list(lm.stream(["the fox", SPEECH], output, **options))
    (expected,) = lm.generate(["the fox", SPEECH], output, **options)
    last = events.pop()
    assert isinstance(last, Output)
    np.testing.assert_array_equal(last.ids, expected.ids)
    assert last.finish is expected.finish
    assert [type(part) for part in last.parts] == [type(part) for part in expected.parts]
    heard = {n: part.wav for n, part in enumerate(expected.parts) if part in expected.speech}
    for part, wav in sounds(events).items():
        np.testing.assert_allclose(wav, heard.pop(part), atol=1e-5)
    assert not heard
    assert " ".join(texts(events).values()) == expected.text
    assert len([event for event in events if isinstance(event, NewTokens)]) > 1


def test_a_stop_ends_a_stream(monkeypatch):
    lm, options = tiny_lm(), {"max_new_tokens": 40, "seed": 2, "temperature": 1.5, "top_p": 1.0}
    (whole,) = lm.generate("the fox", **options)
    stop = whole.text[len(whole.text) // 2 :][:3]
    *events, last = lm.stream("the fox", stop=stop, **options)
    assert texts(events) == {0: whole.text[: whole.text.index(stop)]}
    assert last.finish is Finish.STOP


def test_one_prompt_is_streamed_at_a_time_and_mistakes_come_at_once():
    with pytest.raises(UserError, match="2 prompts"):
        tiny_lm().stream([["a"], ["b"]])
    with pytest.raises(UserError, match="temperature"):
        tiny_lm().stream("a", temperature=-1)


def test_a_byte_level_tokenizer_streams_too(tmp_path):
    from tests.model_io.folders.tokenizer_folders import write_byte_level

    known = write_byte_level(tmp_path)
    form = PromptFormat(dataclasses.replace(KNOWN, text_size=known.size), known, "", "")
    ids = known.encode("the quick é fox, it said: 日本.")
    assert texts(send(ids, 1, form=form)) == {0: known.decode(ids)}
