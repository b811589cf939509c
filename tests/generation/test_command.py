import argparse
import json

import pytest
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.generation import model_options, prompt_files
from spirit_jax.generation.command import add_arguments, run
from spirit_jax.generation.inputs import TokenString
from spirit_jax.generation.options import Options
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality
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


def test_parts_are_mixed_in_the_order_of_the_words(monkeypatch, capsys, tmp_path):
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    sound = f"audio:{tmp_path / 'a.wav'}"
    words = ["--prompt", "text:the fox", sound, "tokens:[Hu3]", "--prompt", sound, "text:the fox"]
    _, (first, second) = command(monkeypatch, capsys, *words, "--max-new-tokens", 9, "--seed", 3)
    assert first["prompt"] == ["text:the fox", sound, "tokens:[Hu3]"]
    expected = tiny_lm().generate(["the fox", SPEECH, TokenString("[Hu3]")], max_new_tokens=9, seed=3)[0]
    assert first["text"] == expected.text
    assert first["tokens"] == len(expected.ids)
    assert first["log_prob"] == pytest.approx(expected.log_probs.mean(), abs=1e-4)
    assert second["text"] == tiny_lm().generate([SPEECH, "the fox"], max_new_tokens=9, seed=3)[0].text


def test_every_option_reaches_the_model(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(SpiritLM, "respond", lambda self, requests: asked.extend(requests) or [])
    words = (
        "--prompt-text a --temperature 0.5 --top-p 0.4 --top-k 3 --repetition-penalty 1.1 --seed 7 "
        "--max-new-tokens 9 --stop x yz --published-rules"
    )
    command(monkeypatch, capsys, *words.split())
    command(
        monkeypatch,
        capsys,
        *["--prompt-text", "a", "--output-modality", "speech", "--speaker", "1", "--style", "2"],
    )
    assert [request.options for request in asked] == [
        Options(None, Task.CONTINUE, 0.5, 0.4, 3, 1.1, 9, 7, ("x", "yz"), None, None, True),
        Options(Modality.SPEECH, speaker=1, style=2),
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "prompts"),
        (["--prompt-text", "a", "--max-new-tokens", 0], "max_new_tokens"),
        (["--prompt-text", "a", "--max-new-tokens", 10**12], "max_new_tokens"),
        (["--prompt-text", "a", "--temperature", -1], "temperature"),
        (["--prompt-text", "a", "--temperature", 0, "--top-p", 0.5], "top_p"),
        (["--prompt-text", "a", "--task", "speak", "--output-modality", "text"], "output"),
        (["--prompt-text", "a", "--prompt-seconds", 3], "no effect on text"),
        (["--prompt-text", "a", "--strict"], "--strict"),
        (["--prompt-audio", "nowhere.wav"], "nowhere.wav"),
        (["--prompt", "audio:nowhere.wav", "text:a"], "nowhere.wav"),
        (["--prompt", "the fox"], "must begin with text:"),
        (["--prompt-audio", "a.wav", "--prompt-seconds", 0], "prompt-seconds"),
        (["--prompts", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--prompts", "a.jsonl", "--prompt-text", "a"], "neither other prompts"),
        (["--prompt-text", "the fox", "[Hu12]"], r"\[Hu12\]"),
    ],
)
def test_mistakes_are_named_before_anything_is_loaded(monkeypatch, capsys, words, complaint):
    monkeypatch.setattr(model_options, "load_lm", None)
    with pytest.raises(UserError, match=complaint):
        command(monkeypatch, capsys, *words)


def test_the_first_seconds_of_a_sound(monkeypatch, capsys, tmp_path):
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    words = ["--prompt-audio", tmp_path / "a.wav", "--prompt-seconds", 0.12, "--temperature", 0]
    _, (line,) = command(monkeypatch, capsys, *words)
    three = tiny_lm().listen([tmp_path / "a.wav"], 0.12)
    assert line["text"] == tiny_lm().generate(three, temperature=0)[0].text


def test_a_file_of_prompts(monkeypatch, capsys, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "the fox"}\n{"prompt": 3}\n')
    words = ["--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "out", "--max-new-tokens", 4]
    monkeypatch.setattr(prompt_files, "identify", lambda args: "model")
    code, (summary,) = command(monkeypatch, capsys, *words)
    assert code == 0
    assert (summary["n_ok"], summary["n_quarantined"]) == (1, 1)
    assert command(monkeypatch, capsys, *words, "--strict")[0] == 1
