"""Own phonetic units: the verb makes a codec whose centres are nearer to held-out sound than those it began
with.
"""

import dataclasses
import json
import re

import pytest

from spirit_jax.codec_training import fit_units
from spirit_jax.core.commands import Parser
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.splits import split_rows
from spirit_jax.speech import audio
from spirit_jax.speech.codec_folder import load_codec
from tests.speech.synthetic import babble
from tests.speech.tiny_encoders import AT_25_HZ, store_encoder
from tests.speech_codes import make_streams
from tests.verbs import run_verb


def run(*argv):
    parser = Parser()
    fit_units.add_arguments(parser)
    return fit_units.run(parser.parse_args([*map(str, argv)]))


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for number in range(8):
        audio.save(tmp_path / f"{number}.wav", babble(8, number)[0])
        rows.append({"id": str(number), "audio": f"{number}.wav", "split": "train" if number else "heldout"})
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "manifest.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize(("batch_norm", "share"), [(False, 0.5), (True, 0.6)])
def test_units_improve_on_held_out_sound(batch_norm, share, manifest, tmp_path, monkeypatch, capsys):
    """Also of a HuBERT with a batch norm before its positional convolution. share: of the distance to the
    mean that is left; the features of two random networks cluster unequally well.
    """
    monkeypatch.setattr(fit_units, "GROUP_SECONDS", 16)
    sizes = dataclasses.replace(AT_25_HZ, position_batch_norm=batch_norm)
    hubert = store_encoder(tmp_path / "hubert", sizes)
    assert run_verb("train-units", AUDIO=manifest, HUBERT=hubert, UNITS=8, OUT=tmp_path / "codec") == 0
    mean, first, last = map(
        float,
        re.findall(r"([\d.]+) to the mean, ([\d.]+) to the first centres, ([\d.]+)", capsys.readouterr().out)[
            0
        ],
    )
    assert last < 0.95 * first
    assert last < share * mean
    codec = load_codec(tmp_path / "codec")
    assert codec.streams == make_streams(8)
    assert codec.unit_encoder.hubert.encoder.cfg == sizes
    (speech,) = codec.encode_batch([babble(2, 100)[0]])
    assert len(set(speech.units.tolist())) > 3


def test_other_things_in_the_folder_are_left_alone(manifest):
    with pytest.raises(UserError, match="other things"):
        run("--audio", manifest, "--hubert", "tiny", "--out", manifest.parent)


def test_too_little_sound_is_refused(manifest, tmp_path):
    with pytest.raises(UserError, match="held out are too few"):
        split_rows([{"id": "a", "audio": "a.wav", "split": "train"}])
    lines = manifest.read_text().splitlines()
    manifest.write_text(lines[0])
    with pytest.raises(UserError, match="held out are too few"):
        run("--audio", manifest, "--hubert", "tiny", "--out", tmp_path / "codec")
    assert not (tmp_path / "codec").exists()


def test_without_another_split_some_training_rows_are_held_out():
    rows = [{"id": str(number), "audio": f"{number}.wav", "split": "speech"} for number in range(200)]
    train, held_out = split_rows(rows)
    assert len(held_out) == 4
    assert len(train) + len(held_out) == 200
