import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.prompt_format import PromptFormat, Task, speech_of
from spirit_jax.tokens.vocabulary import Modality, Vocabulary, merge
from tests.generation.world import prompt_format, record, tokenizer, vocabulary
from tests.speech_codes import make_speech

SPEECH = make_speech(np.array([3, 3, 5, 5, 7]))
STREAM = [vocabulary().speech_start + code for code in (3, 5, 7)]
TEXT, TALK = vocabulary().text_tag, vocabulary().speech_tag


def ids(text):
    return tokenizer().encode(text)


@pytest.mark.parametrize(
    ("parts", "task", "output", "expected"),
    [
        (["the fox"], Task.CONTINUE, Modality.TEXT, [1, TEXT, *ids("the fox")]),
        (["the fox"], Task.CONTINUE, Modality.SPEECH, [1, TEXT, *ids("the fox"), TALK]),
        (["the fox"], Task.CONTINUE, Modality.ARBITRARY, [1, TEXT, *ids("the fox")]),
        ([SPEECH], Task.CONTINUE, Modality.SPEECH, [1, TALK, *STREAM]),
        ([SPEECH], Task.CONTINUE, Modality.TEXT, [1, TALK, *STREAM, TEXT]),
        (
            [SPEECH, "the fox", np.array(STREAM[:1])],
            Task.CONTINUE,
            Modality.SPEECH,
            [1, TALK, *STREAM, TEXT, *ids("the fox"), TALK, STREAM[0]],
        ),
        (["the fox", "saw"], Task.CONTINUE, Modality.TEXT, [1, TEXT, *ids("the fox"), *ids("saw")]),
        ([SPEECH], Task.TRANSCRIBE, Modality.TEXT, [1, TALK, *STREAM, TEXT, *ids("transcribe:")]),
        (["the fox"], Task.SPEAK, Modality.SPEECH, [1, TEXT, *ids("speak:"), *ids("the fox"), TALK]),
    ],
)
def test_prompts_are_written_as_in_training(parts, task, output, expected):
    assert prompt_format().encode(parts, task, output).tolist() == expected


def test_typed_markers_stay_text():
    encoded = prompt_format().encode(["[Speech][Hu3]"], Task.CONTINUE, Modality.TEXT)
    assert (encoded[2:] < vocabulary().text_size).all()


@pytest.mark.parametrize("parts", [[], [make_speech(np.zeros(0, np.int32))], [np.zeros(0, np.int32)]])
def test_an_empty_prompt_is_refused(parts):
    with pytest.raises(UserError, match="must hold text or speech"):
        prompt_format().encode(parts, Task.CONTINUE, Modality.TEXT)


@pytest.mark.parametrize(
    ("task", "parts"), [(Task.TRANSCRIBE, ["a"]), (Task.SPEAK, [SPEECH]), (Task.SPEAK, ["a", SPEECH])]
)
def test_a_task_refuses_what_it_cannot_read(task, parts):
    with pytest.raises(UserError, match=f"to {task.value} takes"):
        prompt_format().encode(parts, task, Modality.TEXT)


def test_a_text_model_knows_no_tags_and_refuses_speech():
    plain = PromptFormat(Vocabulary.text_only(tokenizer().size), tokenizer(), "", "")
    assert plain.encode(["the fox"], Task.CONTINUE, Modality.TEXT).tolist() == [1, *ids("the fox")]
    for parts, output in (([SPEECH], Modality.TEXT), (["a"], Modality.SPEECH), (["a"], Modality.ARBITRARY)):
        with pytest.raises(UserError, match="text alone"):
            plain.encode(parts, Task.CONTINUE, output)


def test_output_is_read_in_runs():
    parts = prompt_format().decode(np.array([*ids("the fox"), TALK, *STREAM, TEXT, *ids("saw it"), 2]))
    assert [part if isinstance(part, str) else part.units.tolist() for part in parts] == [
        "the fox",
        [3, 5, 7],
        "saw it",
    ]


def test_short_speech_can_be_dropped_and_empty_output_says_nothing():
    generated = np.array([*ids("a"), TALK, *STREAM])
    assert prompt_format().decode(generated, least_units=4) == ("a",)
    assert len(prompt_format().decode(generated, least_units=3)) == 2
    assert prompt_format().decode(np.zeros(0, np.int32)) == ()


def test_speech_comes_back_from_its_tokens():
    speech = record(5, expressive=True).speech
    grammar = vocabulary(expressive=True)
    back = speech_of(grammar.encode_stream(*merge(speech, grammar.streams)[:2]), grammar)
    runs = np.flatnonzero(np.diff(speech.units, prepend=-1))
    np.testing.assert_array_equal(back.units, speech.units[runs])
    np.testing.assert_array_equal(back.codes["pitch"], speech.codes["pitch"][runs // 2])
    assert len(back.codes["style"]) == len(back.units)
    assert back.codes["style"][0] == speech.codes["style"][0]


def test_speech_without_units_is_none():
    grammar = vocabulary(expressive=True)
    assert prompt_format(expressive=True).decode(np.array([grammar.starts[1], grammar.starts[1] + 1])) == ()


def test_pitch_and_style_that_are_not_said_are_left_to_the_codec():
    grammar = vocabulary(expressive=True)
    spoken = speech_of(np.array([grammar.speech_start, grammar.speech_start + 1]), grammar)
    assert spoken.codes.keys() == {"units"}
    spoken = speech_of(np.array([grammar.starts[1], grammar.speech_start]), grammar)
    assert spoken.codes.keys() == {"units", "pitch"}
