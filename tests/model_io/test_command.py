"""The command line: every mistake is one line on stderr and exit code 2, and writes nothing."""

import json
import shutil

import numpy as np
import pytest

from spirit_jax.cli import COMMANDS
from spirit_jax.core import commands
from tests.model.tiny import CONFIG
from tests.model_io.folders.llama_folders import listing, tensors, write_folder
from tests.model_io.folders.tokenizer_folders import write_sentencepiece
from tests.speech_codes import make_streams, write_codec_json


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Llama folders with and without a tokenizer, a codec folder, files of ids, a converted model, and a
    stranger's folder.
    """
    folders = tmp_path_factory.mktemp("folders")
    write_folder(folders / "plain", tensors())
    write_folder(folders / "text", tensors(rows := CONFIG.__class__(**{**vars(CONFIG), "rows": 340})), rows)
    write_sentencepiece(folders / "text")
    (folders / "codec").mkdir()
    write_codec_json(folders / "codec", make_streams(9))
    (folders / "mine").mkdir()
    np.save(folders / "ids.npy", np.arange(12).reshape(2, 6) % CONFIG.rows)
    np.save(folders / "large.npy", np.array([[CONFIG.rows]]))
    np.save(folders / "real.npy", np.ones((2, 2)))
    np.save(folders / "empty.npy", np.zeros((0, 2), np.int32))
    (folders / "junk.npy").write_text("junk")
    assert convert("import", folders / "plain", folders / "ours") == 0
    return folders


def convert(*words) -> int:
    return commands.run("python -m spirit_jax", "", COMMANDS, ["convert", *map(str, words)])


def test_the_four_verbs(folders, capsys):
    assert convert("export", folders / "ours", folders / "theirs") == 0
    assert (
        convert("logits", folders / "ours", "--ids", folders / "ids.npy", "--out", folders / "logits.npy")
        == 0
    )
    logits = np.load(folders / "logits.npy")
    assert (logits.dtype, logits.shape) == (np.float32, (2, 6, CONFIG.rows))
    assert (
        convert(
            "import",
            folders / "text",
            folders / "spoken",
            "--codec",
            folders / "codec",
            "--init",
            "mean",
            "--rope-theta",
            "100000",
        )
        == 0
    )
    assert "14 speech rows" not in (said := capsys.readouterr().out)
    assert "11 speech rows added after 340 text rows" in said
    assert json.loads((folders / "spoken/config.json").read_text())["model"]["rope_theta"] == 100_000
    assert (folders / "spoken/codec/codec.json").is_file()
    words = ("logits", folders / "ours", "--ids", folders / "ids.npy", "--out", folders / "split.npy")
    assert convert(*words, "--mesh", "fsdp=4", "tensor=2") == 0
    np.testing.assert_allclose(np.load(folders / "split.npy"), logits, rtol=1e-4, atol=1e-4)
    for name in ("theirs", "logits.npy", "split.npy", "spoken"):
        shutil.rmtree(folders / name) if (folders / name).is_dir() else (folders / name).unlink()


MISTAKES = {
    "no source": ("import nowhere OUT", "source = nowhere: no such folder"),
    "no Llama": ("import mine OUT", "neither config.json nor params.json"),
    "a stranger's folder": ("import plain mine", "exists, and this command did not write it"),
    "onto itself": ("import plain plain", "contains the source"),
    "no tokenizer for units": ("import plain OUT --units 9", "speech units = 9: the model has 0"),
    "no tokenizer for a codec": ("import plain OUT --codec codec", "speech units = 9: the model has 0"),
    "as-is with units": (
        "import text OUT --vocab as-is --units 9",
        "adds no speech tokens, which --units asks for",
    ),
    "codec and units": (
        "import text OUT --codec codec --units 9",
        "determines the numbers of codes, which --units sets too",
    ),
    "no codec": ("import text OUT --codec mine", "codec.json: no such file"),
    "negative units": ("import text OUT --units -3", "must be above 0"),
    "pitch without units": ("import text OUT --units 0 --pitches 3", "must begin with units"),
    "init": ("import text OUT --init best", "argument --init"),
    "scale": ("import text OUT --init normal --init-scale -1", "init scale = -1.0: must be 0 or above"),
    "seed": ("import text OUT --seed -1", "--seed = -1"),
    "theta": ("import text OUT --rope-theta 0", "rope_theta = 0.0: must be a number above 0"),
    "no checkpoint": ("export plain OUT", "contains no model"),
    "export onto the model": ("export ours ours", "contains the source"),
    "export onto another model": ("export ours/../ours OUT/../ours", "contains the source"),
    "type": ("export ours OUT --dtype int8", "argument --dtype"),
    "ids too large": ("logits ours --ids large.npy --out OUT", "must be integers [B, T] from 0 to 63"),
    "ids that are real": ("logits ours --ids real.npy --out OUT", "float64 (2, 2): must be integers"),
    "no ids": ("logits ours --ids empty.npy --out OUT", "(0, 2): must be integers"),
    "ids that are junk": ("logits ours --ids junk.npy --out OUT", "must be a .npy file of integers"),
    "no such axis": ("logits ours --ids ids.npy --out OUT --mesh context=2", "--mesh = context=2: must be"),
    "nothing to compare": ("verify ours mine", "neither config.json nor params.json"),
    "no verb": ("", "required: VERB"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(folders, mistake, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    words, says = MISTAKES[mistake]
    before = listing(folders)
    try:
        code = convert(*words.split())
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert says in err
    assert listing(folders) == before
