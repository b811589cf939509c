"""fairseq's own checkpoints: read without fairseq and without running code of theirs, or refused with the
command that saves them in the published form.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import types

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.hubert import Hubert, extract_features, load_hubert
from spirit_jax.speech.encoders.wav2vec2.fairseq_files import read_fairseq
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from tests.speech.tiny_encoders import BATCH_NORM, Varied, random_encoder, random_wavs

torch = pytest.importorskip("torch", reason="needs requirements-parity.txt")
CONVS = "[(8, 10, 5), (8, 8, 8), (12, 5, 4)]"
MODEL = {
    "_name": "hubert",
    "encoder_layers": 3,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "conv_pos": 6,
    "conv_pos_groups": 4,
    "conv_feature_layers": CONVS,
    "conv_pos_batch_norm": True,
    "latent_temp": [2, 0.5, 0.999995],
    "dropout": 0.1,
}
TASK = {"_name": "hubert_pretraining", "labels": ["km"], "sample_rate": 16000, "normalize": False}
WAVS = random_wavs(9_000, 3_000)


def weights():
    given = Varied(5)
    Wav2Vec2(given, BATCH_NORM)
    arrays = given.arrays | {f"{name}.weight": kernel for name, kernel in given.kernels.items()}
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def store(path, **changed):
    """What fairseq's trainer writes."""
    meters = [(500, "loss", "AverageMeter", {"val": np.float64(1.5), "sum": torch.ones(())})]
    content = {
        "args": None,
        "cfg": {"model": MODEL, "task": TASK, "common": {"seed": 1}},
        "model": weights(),
        "optimizer_history": [{"num_updates": 3}],
        "task_state": {},
        "extra_state": {"metrics": {"default": meters}, "epoch": 2},
        "last_optimizer_state": {"state": {0: torch.zeros(2)}},
    }
    torch.save(content | changed, path)
    return path


def assert_encoder(hubert):
    expected = extract_features(Hubert(random_encoder(BATCH_NORM, seed=5), 2), WAVS)
    for one, other in zip(extract_features(hubert, WAVS), expected):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def fairseq(monkeypatch, tmp_path):
    """A module of fairseq's name whose class leaves a mark where its code runs; the same on disk."""
    source = "class Dictionary:\n    def __setstate__(self, state):\n        open({!r}, 'w').close()\n"
    folder = tmp_path / "fairseq" / "data"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    source = source.format(str(tmp_path / "ran"))
    (folder / "dictionary.py").write_text(source)
    module = types.ModuleType("fairseq.data.dictionary")
    exec(source, module.__dict__)
    for name in ("fairseq", "fairseq.data"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "fairseq.data.dictionary", module)
    symbols = module.Dictionary()
    symbols.symbols = ["<s>", "7"]
    return symbols


def test_as_the_trainer_saves_it(tmp_path):
    assert_encoder(load_hubert(store(tmp_path / "trained.pt"), 2))


def test_its_dictionaries_are_not_needed(tmp_path, fairseq, monkeypatch):
    path = store(tmp_path / "trained.pt", task_state={"dictionaries": [fairseq]})
    monkeypatch.setitem(sys.modules, "fairseq.data.dictionary", None)
    assert_encoder(load_hubert(path, 2))
    assert not (tmp_path / "ran").exists()


def run_advice(error, tmp_path):
    """Runs the command of the message where fairseq is installed, and loads what it wrote."""
    message = str(error.value)
    assert len(message.splitlines()) == 1
    command = shlex.split(re.search(r"python -c .*$", message)[0])
    command[0] = sys.executable
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    return load_hubert(tmp_path / "trained.published.pt", 2)


def test_other_objects_are_refused_with_the_command_that_saves_it(tmp_path, fairseq):
    path = store(tmp_path / "trained.pt", task_state={"types": types.SimpleNamespace(a=fairseq)})
    with pytest.raises(UserError, match="only tensors and plain containers .*types.SimpleNamespace") as error:
        load_hubert(path)
    assert_encoder(run_advice(error, tmp_path))


def test_an_old_list_of_arguments_is_refused_with_the_command_that_saves_it(tmp_path):
    sizes = {key: value for key, value in MODEL.items() if key not in ("_name", "latent_temp")}
    args = argparse.Namespace(**sizes, **TASK, arch="hubert", lr=[0.1], save_dir="runs")
    path = store(tmp_path / "trained.pt", args=args, cfg=None)
    with pytest.raises(UserError, match="is of an old fairseq") as error:
        load_hubert(path)
    assert_encoder(run_advice(error, tmp_path))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": {}}, r"weight feature_extractor.*= absent"),
        ({"cfg": {"model": MODEL}}, "must be a dictionary with task"),
        (
            {"cfg": {"model": MODEL | {"gated": 1}, "task": TASK}},
            "model_cfg gated = 1: is a key that is neither",
        ),
        (
            {"cfg": {"model": MODEL, "task": TASK | {"gain": 2}}},
            "task_cfg gain = 2: is a key that is neither",
        ),
        (
            {"cfg": {"model": MODEL, "task": TASK | {"sample_rate": 8000}}},
            "sample_rate = 8000: must be 16000",
        ),
    ],
)
def test_what_it_lacks_or_has_more_is_named(tmp_path, changed, says):
    with pytest.raises(UserError, match=says):
        load_hubert(store(tmp_path / "trained.pt", **changed))


def test_another_file_is_none(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="must be a dictionary with model_cfg, task_cfg, model_weight"):
        read_fairseq(tmp_path / "other.pt")
