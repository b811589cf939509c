import json
import resource
import struct
import sys
import time
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from spirit_jax.core.errors import Halted
from spirit_jax.model.loss import MODALITIES
from spirit_jax.runs.metrics import Clock, Meter, Speed, Writer, losses, memory, summarize
from spirit_jax.training.guard import LIMIT, Guard
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


def test_weights_and_biases_are_used_where_they_are_set_up(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finished")
    )
    module = ModuleType("wandb")
    module.init = lambda **options: calls.append(options["id"]) or run
    module.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "x")
    (tmp_path / "mine").mkdir()
    writer = Writer(tmp_path / "mine", start=0)
    writer.write({"step": 1, "loss": 2.0})
    writer.close()
    assert calls == ["mine", (1, {"loss": 2.0}), "finished"]
    monkeypatch.delenv("WANDB_API_KEY")
    Writer(tmp_path / "mine", start=0).close()
    assert len(calls) == 3, "without an account nothing is sent"


def test_a_row_of_skipped_steps_alone_has_no_loss():
    assert losses(np.zeros(3), np.zeros(3), "loss") == {}
    meter, _ = make_meter(1)
    meter.add(1, figures(np.nan, np.inf, (10, 10), guard(skipped=1, in_a_row=1)), 0.1)
    row = meter.flush()
    assert (row["tokens"], row["skipped_steps"]) == (0, 1)
    assert not {"loss", "grad_norm"} & row.keys()


def test_a_resumed_run_drops_the_rows_it_writes_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(1, 6)) + '{"step": 6, "lo'
    )
    writer = Writer(tmp_path, start=3)
    writer.write({"step": 4, "loss": 0.5})
    writer.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] == 0.5
    assert list((tmp_path / "tensorboard").glob("events.*"))


def events_of(folder) -> list[Event]:
    """All events, in order, of files without gaps."""
    events = []
    for path in sorted(folder.glob("events.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            assert struct.unpack("<II", content[8:12] + content[12 + length : 16 + length]) == (
                masked_crc32c(content[:8]),
                masked_crc32c(content[12 : 12 + length]),
            )
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def test_tensorboard_has_the_rows_and_hides_those_that_are_written_again(tmp_path):
    writer = Writer(tmp_path, start=3)
    writer.write({"step": 4, "loss": 0.5, "loss/0-text": 2.0})
    writer.close()
    version, begin, *scalars = events_of(tmp_path / "tensorboard")
    assert version.file_version == "brain.Event:2"
    assert (begin.step, begin.session_log.status) == (4, SessionLog.START)
    told = [
        (event.step, event.summary.value[0].tag, event.summary.value[0].simple_value) for event in scalars
    ]
    assert told == [(4, "loss", 0.5), (4, "loss/0-text", 2.0)]


def test_a_full_disk_stops_no_training_and_leaves_no_gap(tmp_path, capsys):
    writer, hard = Writer(tmp_path, start=0), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    try:
        for step in range(1, 101):
            room = 1000 if step < 90 else hard
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            writer.write({"step": step, "loss": 1.0 / step})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    writer.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 101))
    assert [event.step for event in events_of(tmp_path / "tensorboard")[2:]] == list(range(1, 101))
    assert capsys.readouterr().err.count("can't be written to") == 2, "a warning a file"
