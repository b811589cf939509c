import argparse
import json

import pytest
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.generation.command import add_arguments, run
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech import audio
from tests.generation.world import Tones, record, tiny_lm

SPEECH = record(3).speech


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr(SpiritLM, "load", lambda *options: tiny_lm())
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    code = run(parser.parse_args(["--checkpoint", "run", *map(str, words)]))
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_command_prints_a_line_a_prompt_and_writes_speech(monkeypatch, capsys, tmp_path):
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    words = [
        "--prompt-text",
        "the fox",
        "the cow",
        "--prompt-audio",
        tmp_path / "a.wav",
        "--output-modality",
        "speech",
        "--max-new-tokens",
        20,
    ]
    code, lines = command(monkeypatch, capsys, *words, "--out", tmp_path / "out")
    assert code == 0
    assert [line["prompt"] for line in lines] == ["the fox", "the cow", str(tmp_path / "a.wav")]
    for line in lines:
        wav, rate = soundfile.read(line["audio"][0])
        assert rate == 16_000
        assert len(wav) == 640 * line["tokens"]


def test_the_command_transcribes_greedily(monkeypatch, capsys, tmp_path):
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    words = ["--prompt-audio", tmp_path / "a.wav", "--task", "transcribe", "--out", tmp_path / "out"]
    once, again = (command(monkeypatch, capsys, *words, "--seed", seed)[1] for seed in (1, 2))
    assert once == again
    assert once[0]["audio"] == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "prompts"),
        (["--prompt-text", "a", "--max-new-tokens", 0], "max-new-tokens"),
        (["--prompt-text", "a", "--max-new-tokens", 10**12], "max-new-tokens"),
        (["--prompt-text", "a", "--temperature", -1], "temperature"),
        (["--prompt-audio", "nowhere.wav"], "nowhere.wav"),
        (["--prompt-audio", "a.wav", "--prompt-seconds", 0], "prompt-seconds"),
    ],
)
def test_mistakes_are_named_before_anything_is_loaded(monkeypatch, capsys, words, complaint):
    with pytest.raises(UserError, match=complaint):
        command(monkeypatch, capsys, *words)


@pytest.mark.parametrize(
    ("text", "count", "first", "letter"),
    [
        ("[Speech][Hu12][Hu7]", 3, r"\[Speech\]", 1),
        ("say [St71][Pi39][Hu99]" + "[Hu1]" * 99, 102, r"\[St71\]", 5),
        ("[Text]the cat", 1, r"\[Text\]", 1),
    ],
)
def test_token_strings_are_not_read_as_letters(monkeypatch, capsys, text, count, first, letter):
    monkeypatch.setattr(SpiritLM, "load", None)
    with pytest.raises(UserError, match=f"text 2 spells {count} tokens.*{first} at letter {letter}") as error:
        command(monkeypatch, capsys, "--prompt-text", "the fox", text)
    assert "--prompt-audio" in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["see [12] and [Hu]", "[Xy3]", "[hu3]", "a[0]"])
def test_brackets_alone_are_text(monkeypatch, capsys, text):
    assert command(monkeypatch, capsys, "--prompt-text", text, "--max-new-tokens", 2)[0] == 0
