import dataclasses
import json
import resource
import shutil
import threading
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import CheckpointConfig, MeshConfig, OptimConfig
from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import copy_files, read_json, write_json
from spirit_jax.model.array_store import named_arrays, open_array
from spirit_jax.model.checkpoint import METADATA, finished_steps
from spirit_jax.model.llama import abstract, init_sharded
from spirit_jax.runs import checkpoints as checkpointing
from spirit_jax.runs.checkpoints import Checkpoints
from spirit_jax.sharding import make_mesh, shardings_of
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state, make_state
from tests.storages.flat_mount import refuse_folder_renames
from tests.training.tiny import MODEL

OPTIMIZER = make_optimizer(OptimConfig(), 10)


def shapes_on(*sizes: int):
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: int(np.prod(sizes))])
    return abstract_state(abstract(MODEL, mesh), OPTIMIZER, mesh), mesh


@pytest.fixture(scope="module")
def state():
    """A state on eight devices whose leaves all differ."""
    shapes, mesh = shapes_on(2, 2, 2)
    make = jax.jit(lambda m: make_state(m, OPTIMIZER), out_shardings=shardings_of(shapes))
    state = make(init_sharded(MODEL, jax.random.key(0), mesh))
    leaves, tree = jax.tree.flatten(state)
    return jax.tree.unflatten(
        tree, [jax.device_put((np.asarray(x) + i).astype(x.dtype), x.sharding) for i, x in enumerate(leaves)]
    )


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.fixture(params=["disk", "mount", "bucket"])
def folder(request, tmp_path, monkeypatch):
    """A folder for checkpoints: on a disk, on a mount that refuses to rename folders, and in a bucket."""
    if request.param == "bucket":
        return request.getfixturevalue("bucket") / "run/checkpoints"
    if request.param == "mount":
        refuse_folder_renames(monkeypatch)
    return tmp_path / "run"


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 4, 1), (1, 1, 1)])
def test_a_state_comes_back_to_the_bit_on_any_mesh(folder, state, sizes):
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        checkpoints.save(5, state, {"place": {"at": [1, 2]}}, {"x": 1})
    shapes, _ = shapes_on(*sizes)
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        assert checkpoints.latest == 5
        restored, data = checkpoints.restore(shapes, ["place"])
    assert data == {"place": {"at": [1, 2]}}
    assert_equal(restored, state)
    assert jax.tree.all(
        jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s.sharding, x.ndim), restored, shapes)
    )
    assert json.loads((folder / "5/config/config.json").read_text()) == {"x": 1}


def test_weights_are_stored_layer_by_layer_by_each_device(tmp_path, state):
    """So that one layer of a run saved by many devices is read without the others."""
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        checkpoints.save(5, state, {}, {})
    for name, leaf in named_arrays(state.model).items():
        stored = open_array(tmp_path / "5/model", name)
        if name.startswith("layers."):
            chunk = stored.chunk_layout.read_chunk.shape
            assert chunk is not None
            assert chunk[0] == 1, name
            assert all(
                part <= whole
                for part, whole in zip(chunk, leaf.sharding.shard_shape(leaf.shape), strict=True)
            )
        np.testing.assert_array_equal(stored[1].read().result(), np.asarray(leaf)[1])


def test_the_last_and_every_nth_are_kept(folder, state):
    with Checkpoints(folder, CheckpointConfig(keep_last=2, keep_every=4)) as checkpoints:
        for step in range(1, 8):
            checkpoints.save(step, state, {}, {})
    with Checkpoints(folder, CheckpointConfig(keep_last=2, keep_every=4)) as checkpoints:
        assert checkpoints.steps == finished_steps(folder) == [4, 6, 7]


def test_an_unfinished_checkpoint_is_none_and_is_removed(folder, state):
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        checkpoints.save(3, state, {}, {})
    for name in ("4", "5.orbax-checkpoint-tmp"):
        copy_files(folder / "3", folder / name)
    (folder / "4/commit_success.txt").unlink()
    write_json(folder / "4" / METADATA, read_json(folder / "4" / METADATA) | {"commit_timestamp_nsecs": None})
    assert finished_steps(folder) == [3]
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        assert checkpoints.latest == 3
    assert [path.name for path in folder.iterdir()] == ["3"]


@pytest.mark.parametrize("saved_by", ["an earlier version", "a run killed before the last file"])
def test_a_complete_checkpoint_without_its_last_file_is_used(tmp_path, state, saved_by):
    if saved_by == "an earlier version":
        earlier = ocp.training.Checkpointer(tmp_path)
        place = checkpointing._JsonFiles({"place": checkpointing._sealed(1), **bits_of(state)})
        earlier.save_checkpointables(3, {**checkpointing._arrays(state), "data": place}, force=True)
        earlier.close()
    else:
        with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
            checkpoints.save(3, state, {"place": 1}, {})
        (tmp_path / "3/commit_success.txt").unlink()
    assert finished_steps(tmp_path) == [3]
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        restored, data = checkpoints.restore(shapes_on(1, 1, 1)[0], ["place"])
    assert data == {"place": 1}
    assert_equal(restored, state)


def bits_of(state) -> dict:
    return {checkpointing.BITS: checkpointing._sealed(checkpointing._bits(state))}


def test_donating_the_state_while_it_is_written_does_no_harm(tmp_path, state):
    shapes, _ = shapes_on(1, 1, 1)
    alone = jax.tree.map(lambda x, s: jax.device_put(np.asarray(x), s.sharding), state, shapes)
    wipe = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        checkpoints.save(1, alone, {}, {})
        jax.block_until_ready(wipe(alone))
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        assert_equal(checkpoints.restore(shapes, [])[0], state)


def test_the_step_is_the_trains(tmp_path, state):
    state = dataclasses.replace(state, step=state.step * 0 + 7)
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        checkpoints.save(7, state, {}, {})
        assert checkpoints.restore(shapes_on(2, 2, 2)[0], [])[0].step == 7


def test_saves_begin_at_half_intervals_and_training_stays_within_one_of_a_finished_checkpoint(
    tmp_path, state
):
    for every, due in ((1, [1, 2, 3, 4, 5, 6]), (2, [1, 2, 3, 4, 5, 6]), (3, [2, 4, 6]), (4, [2, 4, 6])):
        with Checkpoints(tmp_path / str(every), CheckpointConfig(every_steps=every)) as checkpoints:
            assert [step for step in range(1, 7) if checkpoints.is_due(step)] == due
    with Checkpoints(tmp_path / "kept", CheckpointConfig(every_steps=4, keep_every=3)) as checkpoints:
        assert [step for step in range(1, 7) if checkpoints.is_due(step)] == [2, 3, 4, 6]
    with Checkpoints(tmp_path / "run", CheckpointConfig(every_steps=3)) as checkpoints:
        for step in range(1, 9):
            checkpoints.stay_near(step)
            finished = finished_steps(tmp_path / "run")
            assert step - max(finished, default=0) <= 3
            if checkpoints.is_due(step):
                checkpoints.save(step, state, {}, {})


def ruin_arrays(step):
    for path in (step / "model").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turn_bits(step):
    """Of the arrays' largest file, in the middle of it: it is still read, as other numbers."""
    path = max(
        (path for path in (step / "optimizer").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 0x10
    path.write_bytes(text)


RUINS = {
    "arrays cut off": ruin_arrays,
    "no optimizer": lambda step: shutil.rmtree(step / "optimizer"),
    "no position": lambda step: (step / "data/place.json").unlink(),
    "other numbers": turn_bits,
    "another position": lambda step: (step / "data/place.json").write_text(
        (step / "data/place.json").read_text().replace('"at": 6', '"at": 7')
    ),
    "a position of another kind": lambda step: (step / "data/place.json").write_text("[]"),
    "half a position": lambda step: (step / "data/place.json").write_text('{"at": [1'),
}


def saved(folder, state, *steps):
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        for step in steps:
            checkpoints.save(
                step, dataclasses.replace(state, step=state.step * 0 + step), {"place": {"at": step}}, {}
            )


@pytest.mark.parametrize("ruin", RUINS)
def test_a_broken_checkpoint_is_set_aside_and_the_one_before_is_used(tmp_path, state, capsys, ruin):
    saved(tmp_path / "run", state, 3, 6)
    RUINS[ruin](tmp_path / "run/6")
    with Checkpoints(tmp_path / "run", CheckpointConfig()) as checkpoints:
        restored, data = checkpoints.restore(shapes_on(1, 1, 1)[0], ["place"])
        assert (restored.step, data, checkpoints.latest) == (3, {"place": {"at": 3}}, 3)
        printed = capsys.readouterr().err
        assert "step 6 can't be read" in printed
        assert "resuming from step 3" in printed
        checkpoints.save(6, restored, data, {})
    assert finished_steps(tmp_path / "run") == [3, 6]
    assert not (tmp_path / "run/6/broken.txt").exists(), "saved again"


def test_a_broken_checkpoint_stays_with_the_reason_and_can_be_brought_back(folder, state):
    saved(folder, state, 3, 6)
    place = (folder / "6/data/place.json").read_text()
    (folder / "6/data/place.json").write_text("[]")
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        checkpoints.restore(shapes_on(1, 1, 1)[0], ["place"])
    assert "place.json isn't what was written" in (folder / "6/broken.txt").read_text()
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        assert checkpoints.steps == finished_steps(folder) == [3]
    (folder / "6/data/place.json").write_text(place)
    (folder / "6/broken.txt").unlink()
    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        assert checkpoints.restore(shapes_on(1, 1, 1)[0], ["place"])[1] == {"place": {"at": 6}}


def test_where_none_can_be_read_all_stays_as_it_is(tmp_path, state):
    saved(tmp_path / "run", state, 3, 6)
    for step in ("3", "6"):
        RUINS["no optimizer"](tmp_path / "run" / step)
    with (
        Checkpoints(tmp_path / "run", CheckpointConfig()) as checkpoints,
        pytest.raises(UserError, match="none of 2 can be read"),
    ):
        checkpoints.restore(shapes_on(1, 1, 1)[0], ["place"])
    assert {"3", "6"} <= {path.name for path in (tmp_path / "run").iterdir()}


@pytest.fixture
def full_disk():
    """Call with True: no file grows beyond a few bytes. Call with False: there is room again."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    yield lambda full: resource.setrlimit(resource.RLIMIT_FSIZE, (4000 if full else hard, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_save_that_fails_is_tried_again(tmp_path, state, monkeypatch, capsys, full_disk):
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        full_disk(len(pauses) < 2)
        time.sleep(0.5)

    monkeypatch.setattr(checkpointing, "sleep", pause)
    with Checkpoints(tmp_path / "run", CheckpointConfig(every_steps=4)) as checkpoints:
        checkpoints.save(2, state, {}, {})
        assert checkpoints.wait()
        full_disk(True)
        checkpoints.save(4, state, {}, {})
        assert not checkpoints.stay_near(7), "the save of step 4 failed in the background"
        checkpoints.save(6, state, {}, {})
        assert checkpoints.latest == 6
    assert len(pauses) >= 2, "the remains of a failed attempt may spoil one more"
    assert pauses == list(checkpointing.RETRY_AFTER_S[: len(pauses)])
    assert "step 4 was not saved" in capsys.readouterr().err
    with Checkpoints(tmp_path / "run", CheckpointConfig()) as checkpoints:
        assert checkpoints.steps == [2, 6]
        assert_equal(checkpoints.restore(shapes_on(1, 1, 1)[0], [])[0], state)


def test_a_disk_that_stays_full_ends_it_with_the_last_good_state(
    tmp_path, state, monkeypatch, capsys, full_disk
):
    monkeypatch.setattr(checkpointing, "sleep", lambda seconds: time.sleep(0.2))
    halted = pytest.raises(Halted, match=r"step 4 can't be written .*step 2 is the last one saved")
    with halted, Checkpoints(tmp_path / "run", CheckpointConfig(every_steps=4)) as checkpoints:
        checkpoints.save(2, state, {}, {})
        assert checkpoints.wait()
        full_disk(True)
        checkpoints.save(3, state, {}, {})
        checkpoints.save(4, state, {}, {})
    full_disk(False)
    assert capsys.readouterr().err.count("was not saved") >= len(checkpointing.RETRY_AFTER_S)
    with Checkpoints(tmp_path / "run", CheckpointConfig()) as checkpoints:
        assert checkpoints.steps == [2]
        assert_equal(checkpoints.restore(shapes_on(1, 1, 1)[0], [])[0], state)


@pytest.mark.parametrize("there", ["a file", "a link to nowhere"])
def test_storage_that_is_gone_ends_it_and_no_thread_is_left_that_waits(
    tmp_path, state, monkeypatch, capsys, there
):
    monkeypatch.setattr(checkpointing, "sleep", lambda seconds: time.sleep(0.1))
    before, halted = (
        threading.enumerate(),
        pytest.raises(Halted, match=r"step 4 can't be written .*step 2 is the last one saved"),
    )
    with halted, Checkpoints(tmp_path / "run", CheckpointConfig(every_steps=4)) as checkpoints:
        checkpoints.save(2, state, {}, {})
        assert checkpoints.wait()
        (tmp_path / "run").rename(tmp_path / "away")
        if there == "a file":
            (tmp_path / "run").touch()
        else:
            (tmp_path / "run").symlink_to(tmp_path / "nowhere/run")
        checkpoints.save(4, state, {}, {})
    assert capsys.readouterr().err.count("was not saved") == 1 + len(checkpointing.RETRY_AFTER_S)
    for thread in set(threading.enumerate()) - set(before):
        if thread.name.startswith("Thread-"):
            threading.Thread.join(thread, 20)  # Orbax's own raises what ended it
            assert not thread.is_alive(), "the process couldn't end"
    (tmp_path / "run").unlink()
    (tmp_path / "away").rename(tmp_path / "run")
    with Checkpoints(tmp_path / "run", CheckpointConfig()) as checkpoints:
        assert checkpoints.steps == [2]
        assert_equal(checkpoints.restore(shapes_on(1, 1, 1)[0], [])[0], state)
