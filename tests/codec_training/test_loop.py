"""The loop that trains every part of a codec, with a part that counts."""

import contextlib
import dataclasses

import grain
import jax.numpy as jnp
import pytest

from spirit_jax.codec_training.config import PitchRun, StepsConfig
from spirit_jax.codec_training.corpus import Corpus, Recording
from spirit_jax.codec_training.loop import train
from spirit_jax.config import CheckpointConfig
from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import read_jsonl
from spirit_jax.runs.state import TrainState
from tests.codec_training.world import ONE
from tests.speech_codes import make_speech


@dataclasses.dataclass
class Counting:
    """Adds up the numbers of its batches."""

    config: PitchRun
    corpus: Corpus = Corpus([], [])

    @property
    def learns_from(self):
        return {"corpus": self.corpus.fingerprint}

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
    return TrainState(state.step + 1, {"sum": state.model["sum"] * jnp.nan}, state.opt), {
        "sum": state.model["sum"]
    }


def test_fewer_steps_than_were_done_finish_a_run(tmp_path):
    for steps, ended in ((4, 4), (2, 4)):
        assert train(Counting(PitchRun(StepsConfig(steps, batch_rows=2), mesh=ONE)), tmp_path) == ended
        assert (tmp_path / "made").read_text() == "16.0"
        (tmp_path / "made").unlink()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "b"},
        {"voice": "w"},
        {"speech": make_speech([1, 2, 4])},
        {"speech": make_speech([1], [2], [3])},
    ],
)
def test_a_resumed_run_goes_on_with_the_same_recordings_alone(tmp_path, changes):
    recording = Recording("a", "a.wav", "v", make_speech([1, 2, 3]))
    made = Counting(PitchRun(StepsConfig(2, batch_rows=2), mesh=ONE), Corpus([recording], []))
    longer = dataclasses.replace(made, config=PitchRun(StepsConfig(4, batch_rows=2), mesh=ONE))
    assert train(made, tmp_path) == 2
    with pytest.raises(UserError, match="data corpus = .*learned"):
        train(
            dataclasses.replace(longer, corpus=Corpus([dataclasses.replace(recording, **changes)], [])),
            tmp_path,
        )
    moved = dataclasses.replace(recording, path="elsewhere/a.wav")
    assert train(dataclasses.replace(longer, corpus=Corpus([moved], [recording])), tmp_path) == 4


@pytest.mark.parametrize(
    "name",
    ["codec", "checkpoints", "tensorboard", "metrics.jsonl", "data.json", "config.json", "codec/other"],
)
def test_what_is_in_the_way_is_told_before_the_first_step(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Counting, "start", None)
    if name.endswith((".json", ".jsonl")):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    with pytest.raises(UserError, match="codec folder|run folder"):
        train(Counting(PitchRun(StepsConfig(2, batch_rows=2), mesh=ONE)), tmp_path)


def test_a_run_that_starts_over_has_one_row_of_step_0(tmp_path, monkeypatch):
    for taught in (lambda self, number: 1 / 0, lambda self, number: add):
        monkeypatch.setattr(Counting, "step", taught)
        with contextlib.suppress(ZeroDivisionError):
            train(Counting(PitchRun(StepsConfig(2, batch_rows=2), mesh=ONE)), tmp_path)
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [0, 2, 2]


def test_weights_that_are_no_numbers_end_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Counting, "step", lambda self, number: add if number < 4 else lose)
    with pytest.raises(Halted, match="diverged before step 4"):
        train(
            Counting(
                PitchRun(StepsConfig(9, batch_rows=2), checkpoint=CheckpointConfig(every_steps=4), mesh=ONE)
            ),
            tmp_path,
        )
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert not (tmp_path / "made").exists()
