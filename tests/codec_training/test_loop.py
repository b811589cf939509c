"""The loop that trains every part of a codec, with a part that counts."""

import dataclasses

import grain
import jax.numpy as jnp
import pytest

from spirit_jax.codec_training.loop import train
from spirit_jax.codec_training.recipes import PitchRun, StepsConfig
from spirit_jax.config import CheckpointConfig
from spirit_jax.errors import Halted
from spirit_jax.training.step import TrainState
from tests.codec_training.world import ONE


@dataclasses.dataclass
class Counting:
    """Adds up the numbers of its batches."""

    config: PitchRun

    def start(self):
        return TrainState(jnp.zeros((), jnp.int32), {"sum": jnp.zeros(())}, {"unused": jnp.zeros(())})

    def batches(self):
        return grain.MapDataset.range(6).map(float).repeat().batch(2)

    def step(self, number):
        return add

    def evaluate(self, model):
        return {"sum": model["sum"]}

    def describe(self):
        return "counting"

    def finish(self, model, out):
        (out / "made").write_text(str(float(model["sum"])))


def add(state, batch):
    total = state.model["sum"] + jnp.sum(batch, dtype=jnp.float32)
    return TrainState(state.step + 1, {"sum": total}, state.opt), {"sum": total}


def lose(state, batch):
    return TrainState(state.step + 1, {"sum": state.model["sum"] * jnp.nan}, state.opt), {"sum": state.model["sum"]}


def test_fewer_steps_than_were_done_finish_a_run(tmp_path):
    for steps, ended in ((4, 4), (2, 4)):
        assert train(Counting(PitchRun(StepsConfig(steps, batch_rows=2), mesh=ONE)), tmp_path) == ended
        assert (tmp_path / "made").read_text() == "16.0"
        (tmp_path / "made").unlink()


def test_weights_that_are_no_numbers_end_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Counting, "step", lambda self, number: add if number < 4 else lose)
    with pytest.raises(Halted, match="diverged before step 4"):
        train(Counting(PitchRun(StepsConfig(9, batch_rows=2), checkpoint=CheckpointConfig(every_steps=4), mesh=ONE)), tmp_path)
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert not (tmp_path / "made").exists()
