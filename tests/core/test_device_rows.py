"""Rows on several devices, and calls that do not fit into a device's memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core import device_rows
from spirit_jax.core.batching import Bucket, buckets
from spirit_jax.core.device_rows import Calls, Memory

FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 60 bytes.")
LENGTHS = np.random.default_rng(0).integers(1, 70, 300).tolist()


class Device:
    """Runs calls of at most `cells` cells on each device; a call gives the lengths of its rows."""

    def __init__(self, cells, late=False):
        self.cells, self.late, self.calls = cells, late, []

    def __call__(self, call):
        self.calls.append(call)
        if call.size * call.rows <= self.cells:
            return jnp.array([LENGTHS[i] for i in call.indices])
        if not self.late:
            raise FULL
        return LateFailure()


class LateFailure:
    """A result that fails when it is waited for."""

    def __array__(self, *_, **__):
        raise FULL


def run_all(device, memory):
    calls = buckets(LENGTHS, 5, devices=8, most=memory.most_rows)
    found = {}
    for call, values in Calls(device, memory, 8).results(calls):
        found.update(zip(call.indices, values.tolist(), strict=True))
    return [found[i] for i in range(len(LENGTHS))]


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("cells", [96, 100, 200, 10**6])
def test_calls_that_do_not_fit_are_halved_and_said_once(cells, late, accelerator, capsys):
    device, memory = Device(cells, late), Memory("encoder", "tiles")
    assert run_all(device, memory) == LENGTHS
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == len(set(notes)) < 6
    assert bool(notes) == (cells < 10**6)
    assert all(note.startswith("note: encoder: a device's memory does not hold ") for note in notes)
    seen = len(device.calls)
    assert run_all(device, memory) == LENGTHS
    assert capsys.readouterr().err == ""
    assert all(call.size * call.rows <= cells for call in device.calls[seen:]), "what was learned is kept"


def test_halves_have_no_more_sequences_than_rows_of_one_device(accelerator):
    device, memory = Device(200), Memory("encoder", "tiles")
    calls = buckets(LENGTHS, 5, most=memory.most_rows)
    found = [i for call, _ in Calls(device, memory).results(calls) for i in call.indices]
    assert sorted(found) == list(range(len(LENGTHS)))
    assert all(len(call.indices) <= call.rows for call in device.calls)


def test_one_row_that_does_not_fit_is_an_error(accelerator):
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        run_all(Device(60), Memory("encoder", "tiles"))


def test_other_errors_are_not_hidden():
    def run(_):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        list(Calls(run, Memory("encoder", "tiles")).results([Bucket(5, 2, [0])]))


def test_at_most_a_few_calls_run_at_a_time():
    begun, taken = [], []
    calls = Calls(lambda call: begun.append(call) or jnp.zeros(1), Memory("x", "y"))
    for call, _ in calls.results(Bucket(5, 1, [i]) for i in range(20)):
        taken.append(call)
        assert len(begun) - len(taken) <= device_rows.IN_FLIGHT
    assert begun == taken


def test_each_device_has_its_rows():
    network = {"scale": jnp.array(3.0)}

    @jax.jit
    def run(network, x_BT):
        return device_rows.each_on_its_rows(lambda network, x_BT: x_BT * network["scale"] + len(x_BT))(
            network, x_BT
        )

    x_BT = np.arange(48, dtype=np.float32).reshape(16, 3)
    (rows,) = device_rows.divide_rows(x_BT)
    assert len(rows.sharding.device_set) == 8
    made = run(network, rows)
    assert len(made.sharding.device_set) == 8
    np.testing.assert_array_equal(made, x_BT * 3 + 2)
