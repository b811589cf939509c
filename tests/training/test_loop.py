import dataclasses
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from spirit_jax.core.errors import Halted, UserError
from spirit_jax.runs.checkpoints import Checkpoints
from spirit_jax.training import preparation
from spirit_jax.training.data.placement import DeviceBatches
from spirit_jax.training.loop import train
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.preparation import prepare
from spirit_jax.training.state import abstract_state
from tests.training.tiny import Rows, make_config, make_data, make_records

ONE = {"data": 1, "fsdp": 1, "tensor": 1}
pytestmark = pytest.mark.usefixtures("devices_of_the_mesh")


def prepare_run(out, steps=6, validation=False, **changes):
    return prepare(make_config(steps, **{"mesh": ONE, **changes}), out, make_data(validation))


def rows_of(out) -> list[dict]:
    """Metric rows, without times."""
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [
        {name: value for name, value in row.items() if not name.endswith(("_s", "_per_second", "_per_chip"))}
        for row in rows
    ]


def final_state(run):
    optimizer = make_optimizer(run.config.optim, run.config.train.steps)
    with Checkpoints(run.out / "checkpoints", run.config.checkpoint) as checkpoints:
        return checkpoints.restore(abstract_state(run.model, optimizer, run.mesh), ["stream_0-of-1"])


def assert_same_end(run, other):
    (state, position), (other_state, other_position) = final_state(run), final_state(other)
    assert position == other_position
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other_state), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupted: six steps, checkpoints at 2, 4 and 6, of which the last two are kept."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        make = preparation.make_mesh
        patch.setattr(preparation, "make_mesh", lambda config: make(config, jax.devices()[:1]))
        run = prepare_run(out, validation=True)
        assert train(run) == 6
    return run


def stop_after(monkeypatch, step: int, act) -> None:
    """Calls `act` when the batch of `step` is taken."""
    take = DeviceBatches.take
    taken = []

    def take_and_act(self):
        taken.append(None)
        if len(taken) == step:
            act()
        return take(self)

    monkeypatch.setattr(DeviceBatches, "take", take_and_act)


def test_a_run_leaves_metrics_checkpoints_and_its_identity(whole):
    assert {
        "config.json",
        "vocabulary.json",
        "tokenizer.model",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
    } <= {p.name for p in whole.out.iterdir()}
    assert {"4", "6"} <= {path.name for path in (whole.out / "checkpoints").iterdir()}
    rows = rows_of(whole.out)
    assert [row["step"] for row in rows] == [2, 4, 6, 6]
    assert rows[0]["loss"] > rows[2]["loss"]
    assert {
        "loss_text",
        "loss_speech",
        "loss_tag",
        "grad_norm",
        "lr",
        "tokens",
        "epoch/0-interleaved",
        "epoch/2-text",
    } <= rows[0].keys()
    assert {
        "validation_loss",
        "validation_loss_text",
        "validation_loss_speech",
        "validation_loss/3-interleaved",
    } <= rows[3].keys()


def test_resumed_is_uninterrupted_to_the_bit(tmp_path, monkeypatch, whole):
    run = prepare_run(tmp_path / "run", validation=True)
    with monkeypatch.context() as patch:
        # dies in step 5, while the checkpoint of step 4 is written
        stop_after(patch, 5, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(run)
    assert train(prepare_run(tmp_path / "run", validation=True)) == 6
    assert_same_end(run, whole)
    whole_rows, rows = rows_of(whole.out), rows_of(run.out)
    assert rows[0] == whole_rows[0]
    assert rows[2:] == whole_rows[2:], "the window of row 4 was cut by the restart, later rows are the same"


def test_sigterm_saves_and_the_same_command_goes_on(tmp_path, monkeypatch, whole):
    run = prepare_run(tmp_path / "run", validation=True)
    with monkeypatch.context() as patch:
        stop_after(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(run) == 2
    with Checkpoints(run.out / "checkpoints", run.config.checkpoint) as checkpoints:
        assert checkpoints.latest == 2
    assert train(run) == 6
    assert_same_end(run, whole)


def test_a_finished_run_says_so_and_stays_as_it_is(whole, capsys):
    before = {path: path.read_bytes() for path in whole.out.rglob("*") if path.is_file()}
    assert train(whole) == 6
    assert "finished" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in whole.out.rglob("*") if path.is_file()}


def test_more_steps_and_another_mesh_continue_it(tmp_path):
    """Three steps on one device, three on eight: the losses of six on one device."""
    assert train(prepare_run(tmp_path / "run", 3)) == 3
    assert train(prepare_run(tmp_path / "run", 6, mesh={"data": 2, "fsdp": 2, "tensor": 2})) == 6
    assert train(prepare_run(tmp_path / "one", 6)) == 6
    for row, expected in zip(rows_of(tmp_path / "run")[-1:], rows_of(tmp_path / "one")[-1:]):
        assert row["step"] == expected["step"] == 6
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_changed_data_is_refused_on_resume(tmp_path):
    run = prepare_run(tmp_path / "run", 3)
    train(run)
    data = make_data()
    shrunk = dataclasses.replace(data.train[0], rows=Rows(make_records(29)))
    changed = dataclasses.replace(data, train=(shrunk, *data.train[1:]))
    with pytest.raises(UserError, match="made with"):
        train(
            prepare(
                dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, steps=6)),
                run.out,
                changed,
            )
        )


def spoil(monkeypatch, steps) -> None:
    """The batches of these steps have weights that are no numbers."""
    take, taken = DeviceBatches.take, []

    def take_and_spoil(self):
        taken.append(None)
        batch = take(self)
        return (
            dataclasses.replace(batch, loss_weights=batch.loss_weights * np.float32(np.nan))
            if len(taken) in steps
            else batch
        )

    monkeypatch.setattr(DeviceBatches, "take", take_and_spoil)


def test_a_bad_step_is_skipped_and_counted(tmp_path, monkeypatch):
    run = prepare_run(tmp_path / "run")
    spoil(monkeypatch, {3})
    assert train(run) == 6
    rows = rows_of(run.out)
    assert [row["skipped_steps"] for row in rows] == [0, 1, 1]
    assert rows[2]["loss"] < rows[0]["loss"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(final_state(run)[0]))


def test_too_many_bad_steps_end_it_before_more_is_saved(tmp_path, monkeypatch):
    run = prepare_run(tmp_path / "run", 40, checkpoint={"every_steps": 40})
    spoil(monkeypatch, range(5, 40))
    with pytest.raises(
        Halted, match=r"10 steps in a row were skipped, the last of them step 14: loss nan, gradient norm nan"
    ):
        train(run)
    assert not list((run.out / "checkpoints").glob("[0-9]*"))


def test_steps_are_traced(tmp_path):
    run = prepare_run(tmp_path / "run", 3, checkpoint={"every_steps": 9})
    assert train(run, (2, 2)) == 3
    assert list((run.out / "profile").rglob("*.xplane.pb"))


def test_a_finished_run_whose_last_checkpoint_is_broken_trains_on_from_the_one_before(
    whole, tmp_path, capsys
):
    out = tmp_path / "run"
    shutil.copytree(whole.out, out)
    shutil.rmtree(out / "checkpoints/6/optimizer")
    run = prepare_run(out, validation=True)
    assert train(run) == 6
    printed = capsys.readouterr().err
    assert "resuming from step 4" in printed
    assert "is finished" not in printed
    assert_same_end(run, whole)
    assert train(run) == 6
    assert "is finished" in capsys.readouterr().err
