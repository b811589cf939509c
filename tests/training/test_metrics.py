import json
import time

import numpy as np
import pytest

from spirit_jax.model.loss import MODALITIES
from spirit_jax.training.metrics import Clock, Meter, Writer, losses, summarize
from spirit_jax.training.step import StepMetrics

TEXT, SPEECH, TAG = (MODALITIES.index(kind) for kind in ("text", "speech", "tag"))


def figures(text: float, speech: float, tokens: tuple[float, float]) -> StepMetrics:
    nll_M, weight_M = np.zeros(3), np.zeros(3)
    nll_M[[TEXT, SPEECH]], weight_M[[TEXT, SPEECH]] = np.array([text, speech]) * tokens, tokens
    return StepMetrics(nll_M, weight_M, np.float32(2.0))


def make_meter(log_every: int) -> tuple[Meter, Clock]:
    clock = Clock()
    return Meter(clock, log_every, lambda step: 0.1 * step, lambda position: {"a": position}), clock


def test_rows_are_means_over_the_tokens_of_their_steps_and_come_one_step_late():
    meter, _ = make_meter(2)
    assert meter.add(1, figures(1.0, 2.0, (10, 10)), 0.1) is None
    assert meter.add(2, figures(4.0, 2.0, (20, 10)), 0.2) is None
    row = meter.add(3, figures(9.0, 9.0, (10, 10)), 0.3)
    assert row["step"] == 2
    assert row["loss_text"] == pytest.approx((10 + 80) / 30)
    assert row["loss_speech"] == pytest.approx(2.0)
    assert row["loss"] == pytest.approx((10 + 80 + 40) / 50)
    assert "loss_tag" not in row, "no tags were predicted"
    assert (row["tokens"], row["grad_norm"], row["lr"], row["epoch/a"]) == (50, 2.0, pytest.approx(0.1), 0.2)
    assert "text 3.000 speech 2.000" in summarize(row)
    assert meter.add(4, figures(1.0, 1.0, (10, 10)), 0.4) is None
    assert meter.flush()["loss"] == pytest.approx((180 + 20) / 40)
    assert meter.flush() is None


def test_throughput_does_not_count_checkpoints_and_evaluations():
    meter, clock = make_meter(1)
    with clock.section("step"):
        time.sleep(0.02)
    clock.seconds["checkpoint"] = clock.seconds["evaluate"] = 100.0
    meter.add(1, figures(1.0, 1.0, (50, 50)), 0.0)
    row = meter.flush()
    assert row["tokens_per_second"] == pytest.approx(100 / (row["data_s"] + row["step_s"]))
    assert 0.02 <= row["step_s"] < 50
    assert row["checkpoint_s"] == 100.0
    assert not any(clock.seconds.values()), "a row begins a new window"


def test_losses_of_nothing():
    assert losses(np.zeros(3), np.zeros(3), "loss") == {"loss": 0.0}


def test_a_resumed_run_drops_the_rows_it_writes_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(1, 6)) + '{"step": 6, "lo')
    writer = Writer(tmp_path, start=3)
    writer.write({"step": 4, "loss": 0.5})
    writer.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] == 0.5
    assert list((tmp_path / "tensorboard").glob("events.*"))
