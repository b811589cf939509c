import json
import resource
import struct
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from spirit_jax.runs.metrics import Writer


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


def test_rows_in_a_bucket_are_there_after_a_flush_and_continued(bucket):
    killed = Writer(bucket / "run", start=0)
    for step in range(1, 4):
        killed.write({"step": step, "loss": 1.0})
    killed.flush()
    killed.write({"step": 4, "loss": 1.0})
    writer = Writer(bucket / "run", start=2)
    writer.write({"step": 3, "loss": 0.5})
    writer.close()
    rows = [json.loads(line) for line in (bucket / "run/metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 1.0), (2, 1.0), (3, 0.5)]
    assert [event.step for event in events_of(bucket / "run/tensorboard") if event.summary.value]


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
    printed = [
        (event.step, event.summary.value[0].tag, event.summary.value[0].simple_value) for event in scalars
    ]
    assert printed == [(4, "loss", 0.5), (4, "loss/0-text", 2.0)]


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
    assert capsys.readouterr().err.count("cannot be written") == 2, "a warning a file"
