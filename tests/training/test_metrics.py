import time
from types import SimpleNamespace

import numpy as np
import pytest

from spirit_jax.core.errors import Halted
from spirit_jax.model.loss import MODALITIES
from spirit_jax.training.guard import LIMIT, Guard
from spirit_jax.training.metrics import Clock, Meter, Speed, losses, memory, summarize
from spirit_jax.training.step import StepMetrics

SPEED = Speed(chips=4, flops_per_token=6.0, peak=1e3)
TEXT, SPEECH, TAG = (MODALITIES.index(kind) for kind in ("text", "speech", "tag"))


def guard(mean_norm=1.0, skipped=0, in_a_row=0) -> Guard:
    return Guard(np.float32(mean_norm), np.int32(5), np.int32(skipped), np.int32(in_a_row))


def figures(text: float, speech: float, tokens: tuple[float, float], state: Guard = guard()) -> StepMetrics:  # noqa: B008
    nll_M, weight_M = np.zeros(3), np.zeros(3)
    nll_M[[TEXT, SPEECH]], weight_M[[TEXT, SPEECH]] = np.array([text, speech]) * tokens, tokens
    nll_N, weight_N = np.array([text, speech]) * tokens, np.array(tokens, float)
    return StepMetrics(nll_M, weight_M, nll_N, weight_N, np.float32(2.0), state)


def make_meter(log_every: int) -> tuple[Meter, Clock]:
    clock = Clock()
    return Meter(
        clock, log_every, 5, lambda step: 0.1 * step, ["a", "b"], lambda position: {"a": position}, SPEED
    ), clock


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
    assert (row["loss/a"], row["loss/b"]) == (row["loss_text"], row["loss_speech"])
    assert (row["tokens"], row["grad_norm"], row["lr"], row["epoch/a"]) == (50, 2.0, pytest.approx(0.1), 0.2)
    assert "text 3.000 speech 2.000" in summarize(row)
    assert meter.add(4, figures(1.0, 1.0, (10, 10)), 0.4) is None
    assert meter.flush()["loss"] == pytest.approx((180 + 20) / 40)
    assert meter.flush() is None
    meter.add(5, figures(1.0, 1.0, (10, 10)), 0.5)
    assert meter.flush()["step"] == 5, "the last step has a row"


def test_throughput_does_not_count_checkpoints_and_evaluations():
    meter, clock = make_meter(1)
    with clock.section("step"):
        time.sleep(0.02)
    clock.seconds["checkpoint"] = clock.seconds["evaluate"] = 100.0
    meter.add(1, figures(1.0, 1.0, (50, 50)), 0.0)
    row = meter.flush()
    assert row["tokens_per_second"] == pytest.approx(100 / (row["time/data_s"] + row["time/step_s"]))
    assert 0.02 <= row["time/step_s"] < 50
    assert row["time/checkpoint_s"] == 100.0
    assert row["tokens_per_second_per_chip"] == row["tokens_per_second"] / 4
    assert row["mfu"] == pytest.approx(row["tokens_per_second"] * 6.0 / (4 * 1e3))
    assert not any(clock.seconds.values()), "a row begins a new window"


def test_without_a_known_peak_there_is_no_mfu():
    assert set(Speed(2, 6.0, None).figures(10.0)) == {"tokens_per_second", "tokens_per_second_per_chip"}


def test_skipped_steps_are_counted_and_count_for_nothing_else():
    meter, _ = make_meter(3)
    meter.add(1, figures(1.0, 2.0, (10, 10)), 0.1)
    meter.add(2, figures(np.nan, np.inf, (10, 10), guard(skipped=1, in_a_row=1)), 0.2)
    meter.add(3, figures(1.0, 2.0, (10, 10), guard(skipped=1)), 0.3)
    row = meter.flush()
    assert (row["loss"], row["tokens"], row["skipped_steps"], row["lr"]) == (1.5, 40, 1, pytest.approx(0.1))
    assert "1 steps skipped" in summarize(row)


def test_too_many_skipped_in_a_row_end_it_naming_step_loss_and_norm():
    meter, _ = make_meter(1)
    meter.add(30, figures(7.5, 7.5, (10, 10), guard(0.125, 12, LIMIT)), 0.1)
    with pytest.raises(Halted, match=r"step 30: loss 7.5, gradient norm 2; 0.125 is usual"):
        meter.flush()


def test_memory_is_that_of_the_fullest_device_where_devices_tell():
    stats = [
        {"bytes_in_use": 2**30, "peak_bytes_in_use": 3 * 2**30},
        {"bytes_in_use": 2**31, "peak_bytes_in_use": 2**31},
    ]
    assert memory([SimpleNamespace(memory_stats=lambda s=s: s) for s in stats]) == {
        "hbm_gib": 2.0,
        "hbm_peak_gib": 3.0,
    }
    assert memory([SimpleNamespace(memory_stats=lambda: None)]) == {}


def test_a_row_of_skipped_steps_alone_has_no_loss():
    assert losses(np.zeros(3), np.zeros(3), "loss") == {}
    meter, _ = make_meter(1)
    meter.add(1, figures(np.nan, np.inf, (10, 10), guard(skipped=1, in_a_row=1)), 0.1)
    row = meter.flush()
    assert (row["tokens"], row["skipped_steps"]) == (0, 1)
    assert not {"loss", "grad_norm"} & row.keys()
