"""The command line: every mistake is one line on stderr and exit code 2, and writes nothing."""

import json
import shutil

import numpy as np
import pytest

from spirit_jax.cli import COMMANDS
from spirit_jax.core import commands
from tests.model.tiny import CONFIG
from tests.model_io.folders import listing, tensors, write_folder
from tests.model_io.texts import write_sentencepiece
from tests.speech_codes import make_streams, write_codec_json


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A source with a tokenizer and one without, a codec's description, ids, a converted model, a folder of
    somebody's.
    """
    room = tmp_path_factory.mktemp("room")
    write_folder(room / "plain", tensors())
    write_folder(room / "text", tensors(rows := CONFIG.__class__(**{**vars(CONFIG), "rows": 340})), rows)
    write_sentencepiece(room / "text")
    (room / "codec").mkdir()
    write_codec_json(room / "codec", make_streams(9))
    (room / "mine").mkdir()
    np.save(room / "ids.npy", np.arange(12).reshape(2, 6) % CONFIG.rows)
    np.save(room / "large.npy", np.array([[CONFIG.rows]]))
    np.save(room / "real.npy", np.ones((2, 2)))
    np.save(room / "empty.npy", np.zeros((0, 2), np.int32))
    (room / "junk.npy").write_text("junk")
    assert convert("import", room / "plain", room / "ours") == 0
    return room


def convert(*words) -> int:
    return commands.run("python -m spirit_jax", "", COMMANDS, ["convert", *map(str, words)])


def test_the_four_verbs(room, capsys):
    assert convert("export", room / "ours", room / "theirs") == 0
    assert convert("logits", room / "ours", "--ids", room / "ids.npy", "--out", room / "logits.npy") == 0
    logits = np.load(room / "logits.npy")
    assert (logits.dtype, logits.shape) == (np.float32, (2, 6, CONFIG.rows))
    assert (
        convert(
            "import",
            room / "text",
            room / "spoken",
            "--codec",
            room / "codec",
            "--init",
            "mean",
            "--rope-theta",
            "100000",
        )
        == 0
    )
    assert "14 speech rows" not in (said := capsys.readouterr().out)
    assert "11 speech rows added after 340 text rows" in said
    assert json.loads((room / "spoken/config.json").read_text())["model"]["rope_theta"] == 100_000
    assert (room / "spoken/codec/codec.json").is_file()
    for name in ("theirs", "logits.npy", "spoken"):
        shutil.rmtree(room / name) if (room / name).is_dir() else (room / name).unlink()


MISTAKES = {
    "no source": ("import nowhere OUT", "source = nowhere: no such folder"),
    "no Llama": ("import mine OUT", "neither config.json nor params.json"),
    "a folder of somebody's": ("import plain mine", "exists and is nothing that this command wrote"),
    "onto itself": ("import plain plain", "holds what is to be converted"),
    "no tokenizer for units": ("import plain OUT --units 9", "speech units = 9: the model has 0"),
    "no tokenizer for a codec": ("import plain OUT --codec codec", "speech units = 9: the model has 0"),
    "as-is with units": (
        "import text OUT --vocab as-is --units 9",
        "adds no speech tokens, which --units asks for",
    ),
    "codec and units": ("import text OUT --codec codec --units 9", "says the counts, so --units can't"),
    "no codec": ("import text OUT --codec mine", "codec.json: no such file"),
    "negative units": ("import text OUT --units -3", "must be above 0"),
    "pitch without units": ("import text OUT --units 0 --pitches 3", "must begin with units"),
    "init": ("import text OUT --init best", "argument --init"),
    "scale": ("import text OUT --init normal --init-scale -1", "init scale = -1.0: must be 0 or above"),
    "seed": ("import text OUT --seed -1", "--seed = -1"),
    "theta": ("import text OUT --rope-theta 0", "rope_theta = 0.0: must be a number above 0"),
    "no checkpoint": ("export plain OUT", "holds no model"),
    "export onto the model": ("export ours ours", "holds what is to be converted"),
    "export onto another model": ("export ours/../ours OUT/../ours", "holds what is to be converted"),
    "type": ("export ours OUT --dtype int8", "argument --dtype"),
    "ids too large": ("logits ours --ids large.npy --out OUT", "must be integers [B, T] from 0 to 63"),
    "ids that are real": ("logits ours --ids real.npy --out OUT", "float64 (2, 2): must be integers"),
    "no ids": ("logits ours --ids empty.npy --out OUT", "(0, 2): must be integers"),
    "ids that are junk": ("logits ours --ids junk.npy --out OUT", "must be a .npy file of integers"),
    "nothing to compare": ("verify ours mine", "neither config.json nor params.json"),
    "no verb": ("", "required: VERB"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(room, mistake, monkeypatch, capsys):
    monkeypatch.chdir(room)
    words, says = MISTAKES[mistake]
    before = listing(room)
    try:
        code = convert(*words.split())
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert says in err
    assert listing(room) == before
