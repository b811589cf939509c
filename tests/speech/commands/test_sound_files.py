"""encode, decode and resynthesize, on a codec of small random networks and on a chain from recordings to
speech.
"""

import json
import sys

import numpy as np
import pytest
import soundfile

from spirit_jax import cli
from spirit_jax.speech import audio
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.speech.commands.sound_files import HELD_SECONDS, hear, wav_names
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.strings import parse
from tests.speech.sounds import encoded, state_length, sweep
from tests.speech.synthetic import babble
from tests.speech.tiny_codec import tiny_codec


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A codec's folder, a good mp3-rate stereo file, a short one, and a missing one."""
    folder = tmp_path_factory.mktemp("voice")
    save_codec(tiny_codec(), folder / "codec")
    audio.save(folder / "a.wav", babble(1.3, seed=0)[0])
    (folder / "b").mkdir()
    soundfile.write(folder / "b/a.flac", np.stack([babble(1.0, seed=1)[0]] * 2, axis=1), 22_050)
    audio.save(folder / "short.wav", babble(0.05, seed=2)[0])
    return folder


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["spirit", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    return left.value.code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_encode_and_decode(room, tmp_path, monkeypatch, capsys):
    files = [room / "a.wav", room / "short.wav", room / "b/a.flac", room / "nowhere.wav"]
    code, lines, _ = command(monkeypatch, capsys, "encode", *files, "--codec", room / "codec")
    assert code == 0
    assert [line.get("error") for line in lines] == [None, "too_short", None, "missing"]
    (speech,) = tiny_codec().encode_batch([audio.load(files[0])])
    assert lines[0]["units"] == speech.units.tolist()
    assert lines[0]["style"] == speech.codes["style"].tolist()
    assert lines[0]["seconds"] == 1.3
    np.testing.assert_array_equal(
        parse(lines[0]["tokens"], tiny_codec().streams).units,
        speech.units[np.diff(speech.units, prepend=-1) != 0],
    )
    (tmp_path / "codes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [
        "decode",
        tmp_path / "codes.jsonl",
        "--tokens",
        "[Hu3][Hu5]",
        "--codec",
        room / "codec",
        "--out",
        tmp_path / "out",
        "--speaker",
        1,
    ]
    code, spoken, _ = command(monkeypatch, capsys, *words)
    assert code == 0
    assert [line["wav"] for line in spoken] == [
        str(tmp_path / "out" / name) for name in ("tokens.wav", "a.wav", "a-1.wav")
    ]
    assert len(audio.load(tmp_path / "out/a.wav")) == 640 * len(speech.units)


def test_resynthesize(room, tmp_path, monkeypatch, capsys):
    words = [
        "resynthesize",
        room / "a.wav",
        room / "short.wav",
        room / "b/a.flac",
        "--codec",
        room / "codec",
        "--out",
        tmp_path / "out",
    ]
    code, lines, _ = command(monkeypatch, capsys, *words)
    assert code == 0
    assert [line.get("wav") for line in lines] == [
        str(tmp_path / "out/a.wav"),
        None,
        str(tmp_path / "out/a-1.wav"),
    ]
    (speech,) = tiny_codec().encode_batch([audio.load(room / "a.wav")])
    wav = tiny_codec().decode(speech)
    np.testing.assert_allclose(audio.load(tmp_path / "out/a.wav"), wav, atol=1 / 32_000)  # 16 bits


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "utterances"),
        (["--tokens", "[Hu900]"], "units code = 900"),
        (["--tokens", "hello"], "no units"),
        (["--tokens", "[Hu3]", "--speaker", "7"], "speaker = 7"),
        (["CODES"], "audio and units"),
        (["NUMBER"], "line 1 = b'5': must be a JSON object"),
        (["NULL"], "units are null"),
        (["NAMELESS"], "no file can be named so"),
        (["NUL"], "no file can be named so"),
        (["ERRORS"], "need at least one"),
        (["--tokens", "[Hu3] and text"], "begin with [Text]"),
        (["--tokens", "[Hu3]", "--style", "1"], "style id = 1"),
    ],
)
def test_mistakes_write_nothing(room, tmp_path, monkeypatch, capsys, words, says):
    (tmp_path / "codes.jsonl").write_text('{"audio": "a.wav"}\n')
    (tmp_path / "errors.jsonl").write_text('{"audio": "a.wav", "error": "empty", "detail": ""}\n')
    (tmp_path / "number.jsonl").write_text("5")
    (tmp_path / "null.jsonl").write_text('{"audio": "a.wav", "units": null}')
    (tmp_path / "nameless.jsonl").write_text('{"audio": "..", "units": [1]}')
    (tmp_path / "nul.jsonl").write_text('{"audio": "a\\u0000b", "units": [1]}')
    places = {
        name: f"{name.lower()}.jsonl" for name in ("CODES", "ERRORS", "NUMBER", "NULL", "NAMELESS", "NUL")
    }
    words = [str(tmp_path / places[word]) if word in places else word for word in words]
    code, _, err = command(
        monkeypatch, capsys, "decode", *words, "--codec", room / "codec", "--out", tmp_path / "out"
    )
    assert code == 2
    assert says in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"), [(["--speaker", "3"], "speaker = 3"), (["--out", "FILE"], "is a file")]
)
def test_resynthesis_refuses_before_it_encodes(room, tmp_path, monkeypatch, capsys, words, says):
    words = [str(room / "a.wav") if word == "FILE" else word for word in words]
    args = ["resynthesize", room / "a.wav", "--codec", room / "codec", "--out", tmp_path / "out", *words]
    code, lines, err = command(monkeypatch, capsys, *args)
    assert (code, lines) == (2, [])
    assert says in err
    assert not (tmp_path / "out").exists()


def test_text_between_tokens_is_passed_over(room, tmp_path, monkeypatch, capsys):
    strings = ["[Speech][Hu3][Hu5][Text] and on [Speech][Hu5]\n", "[Hu3][Hu5][Hu5]"]
    code, lines, _ = command(
        monkeypatch, capsys, "decode", "--tokens", *strings, "--codec", room / "codec", "--out", tmp_path
    )
    assert code == 0
    np.testing.assert_array_equal(*(audio.load(line["wav"]) for line in lines))


def test_an_utterance_whose_streams_do_not_fit_is_set_aside(room, tmp_path, monkeypatch, capsys):
    _, (line,), _ = command(monkeypatch, capsys, "encode", room / "a.wav", "--codec", room / "codec")
    rows = [{**line, "audio": "odd.wav", "pitch": 9 * line["pitch"]}, line]
    (tmp_path / "codes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, lines, _ = command(
        monkeypatch,
        capsys,
        "decode",
        tmp_path / "codes.jsonl",
        "--codec",
        room / "codec",
        "--out",
        tmp_path / "out",
    )
    assert code == 0
    assert (lines[0]["audio"], lines[0]["error"]) == ("odd", "codes")
    assert "pitch codes" in lines[0]["detail"]
    assert (
        [path.name for path in (tmp_path / "out").iterdir()]
        == ["a.wav"]
        == [str(lines[1]["wav"]).rsplit("/", 1)[-1]]
    )


def test_names_do_not_collide():
    assert wav_names(["a", "b", "a", "a-1", "a"]) == ["a.wav", "b.wav", "a-1.wav", "a-1-1.wav", "a-2.wav"]


def test_a_row_that_cannot_be_spoken_is_a_line_and_the_others_continue(room, tmp_path, monkeypatch, capsys):
    rows = [
        {"audio": f"{name}.wav", "units": units} for name, units in (("a", []), ("b", [900]), ("c", [1, 2]))
    ]
    (tmp_path / "codes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["decode", tmp_path / "codes.jsonl", "--codec", room / "codec", "--out", tmp_path / "out"]
    code, lines, _ = command(monkeypatch, capsys, *words, "--speaker", 1)
    assert code == 0
    assert [line.get("error") for line in lines] == ["codes", "codes", None]
    assert lines[2]["wav"] == str(tmp_path / "out/c.wav")


class _Counting:
    """A codec that counts the seconds of sound that were loaded and are not encoded yet."""

    def __init__(self):
        self.now, self.most = 0.0, 0.0

    def load(self, path):
        wav = sweep(float(path))
        self.now += len(wav) / 16_000
        self.most = max(self.most, self.now)
        return wav

    def encode_batch(self, wavs):
        self.now -= sum(map(len, wavs)) / 16_000
        return [SpeechTokens({"units": [len(wav)]}) for wav in wavs]


def test_sound_in_memory_is_bounded_by_seconds(monkeypatch):
    codec = _Counting()
    monkeypatch.setattr(audio, "load", codec.load)
    heard = list(hear(codec, ["60"] * 25))
    assert [one.speech.units.tolist() for one in heard] == [[960_000]] * 25
    assert codec.now == 0
    assert codec.most <= HELD_SECONDS


def test_a_flac_of_unknown_length_is_encoded(room, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.flac").write_bytes(state_length(encoded("flac", sweep(3.0)), 0))
    code, (line,), _ = command(monkeypatch, capsys, "encode", tmp_path / "a.flac", "--codec", room / "codec")
    assert (code, line["seconds"]) == (0, 3.0)
