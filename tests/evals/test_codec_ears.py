"""Judging a codec by a recogniser; a stand-in hears what a sound's length says."""

import argparse
import dataclasses

import numpy as np
import pytest
import soundfile

from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.core import commands
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_jsonl
from spirit_jax.evals import codec_ears
from spirit_jax.speech.codec_folder import load_codec, save_codec
from tests.speech.synthetic import babble

TEXTS = {"a": "the red cat sat", "b": "the old dog ran off", "c": "a bird sang"}


class Listener:
    """Hears a text of TEXTS by the sound's length, with an error in the second call."""

    about = "stand-in"

    def __init__(self, lengths):
        self.lengths, self.calls = lengths, []

    def transcribe(self, wavs):
        self.calls.append(len(wavs))
        near = [min(self.lengths, key=lambda id: abs(self.lengths[id] - len(wav))) for wav in wavs]
        if len(self.calls) == 2:
            return [TEXTS[id].replace("cat", "hat") for id in near]
        return [TEXTS[id] for id in near]


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    root = tmp_path_factory.mktemp("ears")
    wavs = {id: babble(seconds, seed=i)[0] for i, (id, seconds) in enumerate(zip(TEXTS, (1.2, 2.4, 3.6)))}
    rows = []
    for (id, wav), voice in zip(wavs.items(), ("anna", "anna", "bob")):
        soundfile.write(root / f"{id}.wav", wav, 16_000)
        rows.append({"id": id, "audio": f"{id}.wav", "text": TEXTS[id], "voice": voice, "split": "heldout"})
    (root / "broken.wav").write_bytes(b"no sound")
    rows.append({**rows[0], "id": "d", "audio": "broken.wav"})
    rows.append({**rows[0], "id": "e", "text": "?!"})
    rows.append({**rows[0], "id": "f", "split": "train"})
    write_jsonl(root / "manifest.jsonl", rows)
    save_codec(fit_codec(wavs.values(), 8, False, 0), root / "codec")
    return root, {id: len(wav) for id, wav in wavs.items()}


def judge(root, out, monkeypatch, lengths, *more):
    listener = Listener(lengths)
    monkeypatch.setattr(codec_ears, "load_recogniser", lambda folder: listener)
    given = ["--codec", root / "codec", "--manifest", root / "manifest.jsonl", "--asr", "asr", "--out", out]
    table = {"judge-codec": ("spirit_jax.evals.codec_ears", "")}
    return commands.run("spirit_jax", "", table, ["judge-codec", *map(str, given), *more]), listener


def test_errors_are_counted_of_all_three_and_by_voice(at, tmp_path, monkeypatch, capsys):
    root, lengths = at
    code, listener = judge(root, tmp_path / "ears.json", monkeypatch, lengths)
    assert code == 0
    found = read_json(tmp_path / "ears.json")
    assert listener.calls == [3, 3, 3]
    assert found["n"] == 3
    assert sum(found["set_aside"].values()) == 1
    rates = found["word_error_rate"]
    assert (rates["recording"]["value"], rates["tokens"]["value"]) == (0, 0)
    assert rates["resynthesis"]["value"] == pytest.approx(1 / 12)
    assert rates["resynthesis"]["by_voice"] == {"anna": pytest.approx(1 / 9), "bob": 0}
    assert found["transcripts"][0]["resynthesis"] == "the red hat sat"
    said = capsys.readouterr().out
    assert "resynthesis: 0.083" in said
    assert "set aside: " in said


def test_sounds_are_the_codecs(at, tmp_path, monkeypatch):
    """Both have the length of their units; of tokens it is the decoder's guess."""
    root, lengths = at
    seen = []

    class Keeper(Listener):
        def transcribe(self, wavs):
            seen.append([len(wav) for wav in wavs])
            return super().transcribe(wavs)

    monkeypatch.setattr(codec_ears, "load_recogniser", lambda folder: Keeper(lengths))
    assert codec_ears.run(_args(root, tmp_path / "ears.json")) == 0
    recorded, spoken, from_tokens = map(np.array, seen)
    np.testing.assert_array_equal(spoken, recorded // 640 * 640)
    assert (from_tokens % 640 == 0).all()
    assert (abs(from_tokens - recorded) < 0.6 * recorded).all()


def _args(root, out):
    parser = argparse.ArgumentParser()
    codec_ears.add_arguments(parser)
    given = ["--codec", root / "codec", "--manifest", root / "manifest.jsonl", "--asr", "asr", "--out", out]
    return parser.parse_args(list(map(str, given)))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--split", "none"], "has no recordings with texts"),
        (["--max-records", "0"], "must be at least 1"),
    ],
)
def test_what_cannot_be_judged_is_refused(at, tmp_path, monkeypatch, capsys, more, says):
    root, lengths = at
    code, listener = judge(root, tmp_path / "ears.json", monkeypatch, lengths, *more)
    assert (code, listener.calls) == (2, [])
    assert says in capsys.readouterr().err
    assert not (tmp_path / "ears.json").exists()


def test_a_codec_without_a_decoder_is_refused(at, tmp_path, monkeypatch):
    root, lengths = at
    save_codec(dataclasses.replace(load_codec(root / "codec"), decoder=None), tmp_path / "codec")
    monkeypatch.setattr(codec_ears, "load_recogniser", lambda folder: Listener(lengths))
    args = _args(root, tmp_path / "ears.json")
    args.codec = tmp_path / "codec"
    with pytest.raises(UserError, match="has no decoder"):
        codec_ears.run(args)
    assert [path.name for path in tmp_path.iterdir()] == ["codec"]
