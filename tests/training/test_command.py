import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from spirit_jax.cli import COMMANDS
from spirit_jax.config import DataConfig, Source
from spirit_jax.core import commands
from spirit_jax.core.errors import Halted
from spirit_jax.core.settings import to_dict
from spirit_jax.model.checkpoint import load_model
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training import command
from tests.model_io.folders.tokenizer_folders import write_open_llama, write_twin
from tests.speech_codes import make_vocabulary
from tests.training.conftest import write
from tests.training.tiny import make_config


def train(at, out, *settings, root=None) -> int:
    """`python -m spirit_jax train` on the small shards, over eight devices. root: of the folders; None: where
    they were made.
    """
    vocabulary = make_vocabulary(TextTokenizer.load(at.tokenizer).size, 32)
    sources = (
        Source("spoken", weight=2.0),
        Source("spoken", Arrangement.ASR),
        Source("texts", Arrangement.TEXT),
    )
    data = DataConfig(
        "tokenizer", sources, "codec", (Source("spoken", split="held_out"),), 64, (1, 2), (1, 2)
    )
    config = make_config(
        2, train={"batch_rows": 8}, mesh={"data": 2, "fsdp": 4}, model={"rows": vocabulary.rows()}
    )
    path = at.tokenizer.parent / "config.json"
    path.write_text(json.dumps(to_dict(dataclasses.replace(config, data=data))))
    argv = [
        "train",
        "--config",
        str(path),
        "--root",
        str(root or path.parent),
        "--out",
        str(out),
        "--set",
        *settings,
    ]
    return commands.run("python -m spirit_jax", "", COMMANDS, argv)


def test_it_tells_trains_and_knows_when_it_is_done(at, tmp_path, capsys):
    assert train(at, tmp_path / "run") == 0
    printed = capsys.readouterr()
    for part in (
        "parameters",
        "0-interleaved 50% of tokens (4 records)",
        "8 rows × 64 = 512 tokens, 2 steps",
    ):
        assert part in printed.out
    assert "done at step 2 of 2" in printed.err
    loaded = load_model(tmp_path / "run")
    assert loaded.vocabulary.streams[0].size == 32
    assert loaded.codec_path == tmp_path / "run/codec"
    assert (
        TextTokenizer.load(loaded.tokenizer_path).fingerprint == TextTokenizer.load(at.tokenizer).fingerprint
    )
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"loss", "loss_speech"} <= rows[0].keys()
    assert {"validation_loss", "validation_loss/3-interleaved"} <= rows[-1].keys()
    assert train(at, tmp_path / "run") == 0
    assert "is finished: step 2 of 2" in capsys.readouterr().err
    assert train(at, tmp_path / "run", "optim.peak_lr=0.5") == 2
    assert "optim.peak_lr 0.01 there, 0.5 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.peak_lrr=1", "did you mean optim.peak_lr"),
        ("data.codec=nowhere", "nowhere"),
        ("mesh.data=3", "must multiply to the 8 devices"),
        ("checkpoint.init_from=nowhere", "no such folder"),
    ],
)
def test_mistakes_are_one_line_exit_2_and_leave_nothing(at, tmp_path, capsys, setting, message):
    assert train(at, tmp_path / "run", setting) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "run").exists()


def settings_of(tmp_path, *more) -> list[str]:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(make_config(6))))
    return ["train", "--config", str(path), "--out", str(tmp_path / "run"), *more]


def train_pretending(tmp_path, monkeypatch, reached: int | Exception, more: list[str]) -> int:
    """The command's exit code where training reaches this step, or fails so."""

    def train(run, profile):
        if isinstance(reached, Exception):
            raise reached
        return reached

    data = SimpleNamespace(tokenizer=SimpleNamespace(files={}))
    monkeypatch.setattr(
        command, "prepare", lambda config, out: SimpleNamespace(config=config, out=out, data=data)
    )
    monkeypatch.setattr(command, "describe", lambda run: "")
    monkeypatch.setattr(command, "train", train)
    return commands.run("python -m spirit_jax", "", COMMANDS, settings_of(tmp_path, *more))


@pytest.mark.parametrize(
    ("more", "reached", "code", "said"),
    [
        ([], 6, 0, "done at step 6 of 6"),
        ([], 4, 0, "stopped at step 4 of 6; the same command resumes it"),
        (["--stopped-exit-code", "75"], 4, 75, "stopped at step 4 of 6; the same command resumes it"),
        (["--stopped-exit-code", "75"], 6, 0, "done at step 6 of 6"),
        (
            ["--stopped-exit-code", "75"],
            JaxRuntimeError("RESOURCE_EXHAUSTED: it failed"),
            1,
            "error: out of memory",
        ),
        ([], Halted("step 5: the loss is nan"), 1, "error: step 5: the loss is nan"),
        (
            ["--stopped-exit-code", "75"],
            JaxRuntimeError("UNAVAILABLE: a host is gone"),
            75,
            "UNAVAILABLE: a host is gone",
        ),
    ],
)
def test_exit_codes_tell_a_launcher_what_to_do(tmp_path, monkeypatch, capsys, more, reached, code, said):
    assert train_pretending(tmp_path, monkeypatch, reached, more) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "status"), [(["--stopped-exit-code", "75"], "INTERNAL"), ([], "UNAVAILABLE")]
)
def test_a_failure_that_would_come_again_or_that_no_launcher_awaits_is_not_hidden(
    tmp_path, monkeypatch, more, status
):
    with pytest.raises(JaxRuntimeError, match=status):
        train_pretending(tmp_path, monkeypatch, JaxRuntimeError(f"{status}: it failed"), more)


@pytest.mark.usefixtures("devices_of_the_mesh")
def test_an_export_that_will_need_a_file_is_announced_at_the_start(tmp_path, monkeypatch, capsys):
    tokenizer = write_open_llama(tmp_path / "tokenizer")
    write(tmp_path / "texts", tokenizer, spoken=False)
    data = DataConfig("tokenizer", (Source("texts", Arrangement.TEXT),), sequence_length=64)
    model = {"rows": Vocabulary.text_only(tokenizer.size).rows()}
    config = make_config(model=model, mesh={"fsdp": 1})
    (tmp_path / "config.json").write_text(json.dumps(to_dict(dataclasses.replace(config, data=data))))
    monkeypatch.setattr(command, "train", lambda run, profile: 6)
    words = [
        "train",
        "--config",
        f"{tmp_path}/config.json",
        "--root",
        str(tmp_path),
        "--out",
        f"{tmp_path}/run",
    ]
    for asked in (True, False):
        assert commands.run("python -m spirit_jax", "", COMMANDS, words) == 0
        said = f"an export will need the tokenizer.json of the same model; put it into {tmp_path}/run"
        assert (said in capsys.readouterr().err) == asked
        write_twin(tmp_path / "tokenizer", tmp_path / "tokenizer")


def test_a_resumed_run_with_another_tokenizer_encoder_or_other_rows_is_refused(at, tmp_path, capsys):
    assert train(at, tmp_path / "run") == 0
    begun = json.loads((tmp_path / "run/data.json").read_text())
    (tmp_path / "data.json").write_text(json.dumps({**begun, "2-text": begun["1-asr"]}))
    others = {
        "tokenizer.model": at.other_tokenizer,
        "codec/codec.json": at.other_codec / "codec.json",
        "data.json": tmp_path / "data.json",
    }
    for part, other in others.items():
        shutil.copytree(tmp_path / "run", tmp_path / "changed")
        shutil.copyfile(other, tmp_path / "changed" / part)
        capsys.readouterr()
        assert train(at, tmp_path / "changed", "train.steps=4") == 2
        assert "learned" in capsys.readouterr().err
        shutil.rmtree(tmp_path / "changed")


def copy_work(at, folder, **others) -> Path:
    """A copy of the folders that `train` reads, some of them by other names in `at`."""
    for name in ("spoken", "texts", "codec"):
        shutil.copytree(getattr(at, others.get(name, name)), folder / name)
    shutil.copy(at.tokenizer, folder)
    return folder


def test_a_run_goes_on_after_its_data_was_moved_to_the_bit(at, tmp_path, capsys):
    bucket = copy_work(at, tmp_path / "bucket")
    assert train(at, tmp_path / "whole", "train.steps=4", root=bucket) == 0
    assert train(at, tmp_path / "run", root=bucket) == 0
    bucket.rename(tmp_path / "disk")
    assert train(at, tmp_path / "run", "train.steps=4", root=tmp_path / "disk") == 0
    weights = [jax.tree.leaves(load_model(tmp_path / name).llama) for name in ("whole", "run")]
    for ours, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))
    places = [(tmp_path / name / "checkpoints/4/data").rglob("stream_*") for name in ("whole", "run")]
    positions = [[path.read_text() for path in found] for found in places]
    assert len(positions[0]) == 1
    assert positions[0] == positions[1]
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["data"]["sources"][0]["shards"] == str(tmp_path / "disk/spoken")
    shutil.copytree(at.half_aligned, tmp_path / "disk/spoken", dirs_exist_ok=True)
    capsys.readouterr()
    assert train(at, tmp_path / "run", "train.steps=6", root=tmp_path / "disk") == 2
    assert "data 0-interleaved" in capsys.readouterr().err


def test_the_shares_of_aligned_records_are_said_and_written(at, tmp_path, capsys):
    work = copy_work(at, tmp_path / "work", spoken="half_aligned")
    assert train(at, tmp_path / "run", root=work) == 0
    assert "(4 records: 25.0% aligned, 75.0% unaligned of 4 records read)" in capsys.readouterr().out
    data = json.loads((tmp_path / "run/data.json").read_text())
    shares = {"aligned": 0.25, "unaligned": 0.75}
    assert data["alignment"] == {"0-interleaved": shares, "3-interleaved": shares}
