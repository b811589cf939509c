"""The loop that trains every part of a codec, with a part that counts."""

import dataclasses

import grain
import jax.numpy as jnp
import pytest

from spirit_jax.codec_training.corpus import Corpus, Recording
from spirit_jax.codec_training.loop import train
from spirit_jax.codec_training.recipes import PitchRun, StepsConfig
from spirit_jax.config import CheckpointConfig
from spirit_jax.errors import Halted, UserError
from spirit_jax.training.step import TrainState
from spirit_jax.units import SpeechTokens
from tests.codec_training.world import ONE


@dataclasses.dataclass
class Counting:
    """Adds up the numbers of its batches."""

    config: PitchRun
    corpus: Corpus = Corpus([], [])

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


@pytest.mark.parametrize("changes", [{"id": "b"}, {"voice": "w"}, {"speech": SpeechTokens([1, 2, 4])}, {"speech": SpeechTokens([1], [2], [3])}])
def test_a_resumed_run_goes_on_with_the_same_recordings_alone(tmp_path, changes):
    recording = Recording("a", "a.wav", "v", SpeechTokens([1, 2, 3]))
    made = Counting(PitchRun(StepsConfig(2, batch_rows=2), mesh=ONE), Corpus([recording], []))
    longer = dataclasses.replace(made, config=PitchRun(StepsConfig(4, batch_rows=2), mesh=ONE))
    assert train(made, tmp_path) == 2
    with pytest.raises(UserError, match="data corpus = .*learned"):
        train(dataclasses.replace(longer, corpus=Corpus([dataclasses.replace(recording, **changes)], [])), tmp_path)
    moved = dataclasses.replace(recording, path="elsewhere/a.wav")
    assert train(dataclasses.replace(longer, corpus=Corpus([moved], [recording])), tmp_path) == 4


def test_weights_that_are_no_numbers_end_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Counting, "step", lambda self, number: add if number < 4 else lose)
    with pytest.raises(Halted, match="diverged before step 4"):
        train(Counting(PitchRun(StepsConfig(9, batch_rows=2), checkpoint=CheckpointConfig(every_steps=4), mesh=ONE)), tmp_path)
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert not (tmp_path / "made").exists()
