import numpy as np
import pytest

from spirit_jax.generation.jobs import Continuation, Finish
from spirit_jax.generation.output import SpeechPart, TextPart, find_end, first_stop, read_output
from tests.generation.world import prompt_format, tokenizer, vocabulary

FORM = prompt_format()
KNOWN = vocabulary()


def units(count, first=0):
    return [KNOWN.speech_start + first + i for i in range(count)]


def read(ids, stops=(), least_units=0):
    ids = np.array(ids, np.int32)
    log_probs = -np.arange(len(ids), dtype=np.float32)
    found = Continuation(ids, log_probs, Finish.EOS)
    return read_output(FORM, found, stops, least_units, lambda spoken: spoken.units / 100)


def test_parts_have_their_tokens_and_log_probabilities():
    words, more = tokenizer().encode("the fox"), tokenizer().encode("saw it")
    output = read([*words, KNOWN.speech_tag, *units(3), KNOWN.text_tag, *more])
    text, speech, last = output.parts
    assert isinstance(text, TextPart)
    assert isinstance(speech, SpeechPart)
    assert (text.text, speech.tokens, last.text) == ("the fox", "[Hu0][Hu1][Hu2]", "saw it")
    assert output.text == "the fox saw it"
    assert output.speech == [speech]
    assert output.finish is Finish.EOS
    begin = len(words) + 1
    assert speech.ids.tolist() == units(3)
    assert speech.log_probs.tolist() == [-begin, -begin - 1, -begin - 2]
    np.testing.assert_allclose(speech.wav, [0, 0.01, 0.02])
    assert speech.wav is speech.wav, "made once"


def test_speech_that_is_too_short_is_no_part():
    words = tokenizer().encode("a")
    ids = [*words, KNOWN.speech_tag, *units(4), KNOWN.text_tag, *words, KNOWN.speech_tag, *units(5)]
    output = read(ids, least_units=5)
    assert [len(part.ids) for part in output.speech] == [5]
    assert output.ids.tolist() == ids, "its ids are still there"


def test_a_text_ends_before_the_first_stop():
    ids = tokenizer().encode("the fox saw the cow")
    assert read(ids, ["cow", "saw"]).text == "the fox "
    assert read(ids, ["pig"]).text == "the fox saw the cow"
    assert read(ids, ["the"]).parts == ()


@pytest.mark.parametrize("stop", ["f", "fox", "x s", "saw the", "w"])
def test_as_many_ids_are_kept_as_the_stop_needs(stop):
    ids = np.array(tokenizer().encode("the fox saw the cow"), np.int32)
    end = find_end(FORM, [stop], ids)
    assert stop in tokenizer().decode(ids[:end])
    assert stop not in tokenizer().decode(ids[: end - 1])


def test_a_stop_is_looked_for_in_text_alone_and_across_no_speech():
    words = tokenizer().encode("the fox")
    ids = np.array([*words, KNOWN.speech_tag, *units(30), KNOWN.text_tag, *words], np.int32)
    assert find_end(FORM, ["foxthe", "Hu", "fox the"], ids) is None
    assert find_end(FORM, ["fox"], ids) == len(words)
    assert find_end(FORM, ["fox"], ids[len(words) :]) == len(ids) - len(words)
    assert find_end(FORM, ["fox"], ids[:0]) is None


def test_the_first_stop_counts():
    assert first_stop("abcabc", ["ca", "b"]) == 1
    assert first_stop("abc", []) is None
