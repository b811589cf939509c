from pathlib import Path

import numpy as np
import pytest
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.generation.inputs import (
    BadSound,
    TokenString,
    Wav,
    as_prompts,
    check_text,
    encode_inputs,
    load_sound,
    load_sounds,
    read_prompt,
    read_tokens,
    read_word,
)
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE
from tests.generation.world import Tones, record, vocabulary

SPEECH = record(3).speech
WAV = Wav(Tones().decode(SPEECH), 16_000)
PATH = Path("a.wav")
IDS = np.array([400, 401])


@pytest.mark.parametrize(
    ("inputs", "prompts"),
    [
        ("the fox", [["the fox"]]),
        (PATH, [[PATH]]),
        (WAV, [[WAV]]),
        (["the fox", PATH, WAV, SPEECH], [["the fox", PATH, WAV, SPEECH]]),
        (("a", "b"), [["a", "b"]]),
        ([["a"], ("b", PATH)], [["a"], ["b", PATH]]),
        ([[SPEECH]], [[SPEECH]]),
        ([], []),
    ],
)
def test_one_prompt_or_many(inputs, prompts):
    assert as_prompts(inputs) == prompts


@pytest.mark.parametrize(
    "inputs", [["a", ["b"]], 3, [3], [["a", None]], [np.zeros(9)], [np.zeros((2, 9), int)]]
)
def test_other_things_are_no_prompt(inputs):
    with pytest.raises(UserError):
        as_prompts(inputs)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [None, 1, 2])
def test_samples_are_heard_as_the_file_with_them_is(tmp_path, rate, channels):
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, (channels or 1, rate // 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples.T, rate, subtype="FLOAT")
    given = Wav(samples if channels else samples[0], rate)
    np.testing.assert_allclose(load_sound(given), load_sound(tmp_path / "a.wav"), atol=1e-6)
    short = load_sound(given, 0.2)
    np.testing.assert_allclose(short, load_sound(tmp_path / "a.wav", 0.2), atol=1e-6)
    assert len(short) == 3_200


@pytest.mark.parametrize(
    ("wav", "says"),
    [
        (Wav(np.zeros(16_000), 16_000), "silent"),
        (Wav(np.full(16_000, np.nan), 44_100), "not_finite"),
        (Wav(np.ones(100), 16_000), "too_short"),
        (Wav(np.zeros(0), 16_000), "too_short"),
        (Wav(np.ones(16_000), 0), "rate = 0"),
        (Wav(np.ones(16_000), 16e3), "rate"),
        (Wav(np.ones(16_000, np.int16), 16_000), "must be float"),
        (Wav(np.ones((16_000, 2)), 16_000), "channels, samples"),
    ],
)
def test_samples_that_are_no_sound_are_refused(wav, says):
    with pytest.raises(UserError, match=says):
        load_sound(wav)


def test_a_sound_that_cannot_be_used_says_which_and_why(tmp_path):
    with pytest.raises(BadSound, match=r"nowhere\.wav") as refused:
        load_sounds(["a", tmp_path / "nowhere.wav"])
    assert refused.value.reason == "missing"


def test_token_strings_are_ids_of_speech():
    known = vocabulary(expressive=True)
    expected = [known.starts[2] + 3, known.starts[1] + 4, known.starts[0] + 5, known.starts[0] + 5]
    for string in ("[St3][Pi4][Hu5][Hu5]", "[Speech][St3][Pi4][Hu5][Hu5]", " [St3][Pi4][Hu5][Hu5]\n"):
        assert read_tokens(string, known).tolist() == expected


@pytest.mark.parametrize(
    "string",
    ["", "[Speech]", "the fox", "[Hu3] the fox", "[Hu3][Text]the fox", "[Hu3][Speech][Hu4]", "[Hu3", "[Xy3]"],
)
def test_a_token_string_with_anything_else_is_refused(string):
    with pytest.raises(UserError, match="must be speech tokens alone"):
        read_tokens(string, vocabulary())


def test_a_token_beyond_the_vocabulary_is_refused():
    with pytest.raises(UserError, match=r"\[Hu40\]"):
        read_tokens("[Hu40]", vocabulary())


@pytest.mark.parametrize(
    ("text", "count", "first", "letter"),
    [
        ("[Speech][Hu12][Hu7]", 3, r"\[Speech\]", 1),
        ("say [St71][Pi39][Hu99]" + "[Hu1]" * 99, 102, r"\[St71\]", 5),
        ("[Text]the cat", 1, r"\[Text\]", 1),
    ],
)
def test_texts_that_spell_tokens_are_refused(text, count, first, letter):
    with pytest.raises(UserError, match=f"spells {count} tokens.*{first} at letter {letter}") as error:
        check_text(text, PUBLISHED_EXPRESSIVE)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["see [12] and [Hu]", "[Xy3]", "[hu3]", "a[0]", ""])
def test_brackets_alone_are_text(text):
    check_text(text, PUBLISHED_EXPRESSIVE)


def test_words_of_a_command():
    assert read_word("text:the fox: a tale") == "the fox: a tale"
    assert read_word("audio:dir/a.wav") == Path("dir/a.wav")
    found = read_word("tokens:[Hu3]")
    assert found == "[Hu3]"
    assert isinstance(found, TokenString)
    for word in ("the fox", "a.wav", "sound:a.wav", ":a", ""):
        with pytest.raises(UserError, match="must begin with text:, audio: or tokens:"):
            read_word(word)


def test_prompts_as_json():
    assert read_prompt("the fox", Path) == ["the fox"]
    parts = read_prompt(
        [{"text": "a"}, {"audio": "b.wav"}, {"tokens": "[Hu3]"}], lambda name: Path("x", name)
    )
    assert parts == ["a", Path("x/b.wav"), "[Hu3]"]
    assert isinstance(parts[2], TokenString)


@pytest.mark.parametrize(
    "value", [None, 3, [], {}, ["a"], [{}], [{"text": 3}], [{"sound": "a"}], [{"text": "a", "audio": "b"}]]
)
def test_other_json_is_no_prompt(value):
    with pytest.raises(UserError):
        read_prompt(value, Path)


def test_parts_are_encoded_in_order():
    heard = iter([SPEECH, record(4).speech])
    found = encode_inputs(["a", PATH, TokenString("[Hu3]"), WAV, SPEECH, IDS], vocabulary(), heard)
    assert found[0] == "a"
    assert found[1] is SPEECH
    assert found[2].tolist() == [vocabulary().speech_start + 3]
    np.testing.assert_array_equal(found[3].units, record(4).speech.units)
    assert found[4] is SPEECH
    assert found[5] is IDS
