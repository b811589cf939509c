import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation.engine import decode, insert, prefill
from spirit_jax.generation.jobs import Finish, Job, generate
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.generation.scheduler import Scheduler
from tests.generation.test_inference_mesh import split_llama
from tests.generation.tiny import CONFIG, VOCABULARY, llama

FREE = np.zeros(CONFIG.rows, bool)
FREE[VOCABULARY.size :] = True


def jobs(count, seed=0):
    """Of many lengths, limits and ways to draw."""
    rng = np.random.default_rng(seed)
    return [
        Job(
            rng.integers(3, VOCABULARY.size, rng.integers(1, 60)).astype(np.int32),
            FREE,
            VOCABULARY.eos,
            int(rng.integers(1, 40)),
            GREEDY if i % 3 == 0 else Sampling(1.3, 0.9, 20 if i % 2 else None, 1.1),
            seed=i,
        )
        for i in range(count)
    ]


def run_out(scheduler, chunk, arriving=()):
    """Steps until nothing is left, a job of `arriving` coming before each; the last state of every job."""
    last, waiting = {}, list(arriving)
    while waiting or scheduler.running or scheduler.waiting:
        if waiting:
            scheduler.submit(waiting.pop(0))
        for ticket, continuation in scheduler.step(chunk):
            before = last.get(ticket)
            assert before is None or before.finish is None, "an ended job is told of once"
            assert before is None or continuation.ids[: len(before.ids)].tolist() == before.ids.tolist()
            last[ticket] = continuation
    return [last[ticket] for ticket in sorted(last)]


@pytest.mark.parametrize("chunk", [1, 6, 64])
def test_a_job_gives_what_it_gives_alone_whenever_it_comes(chunk):
    asked = jobs(11)
    scheduler = Scheduler(llama(), rows=3, slots=100)
    for one in asked[:5]:
        scheduler.submit(one)
    found = run_out(scheduler, chunk, asked[5:])
    for one, continuation in zip(asked, found, strict=True):
        (alone,) = generate(llama(), [one])
        np.testing.assert_array_equal(continuation.ids, alone.ids)
        np.testing.assert_allclose(continuation.log_probs, alone.log_probs, atol=1e-4)
        assert continuation.finish is alone.finish


def test_a_job_joins_while_others_run():
    scheduler = Scheduler(llama(), rows=2, slots=64)
    long = Job(np.array([5], np.int32), FREE | (np.arange(CONFIG.rows) == 2), 2, 30)
    first = scheduler.submit(long)
    assert [ticket for ticket, _ in scheduler.step(4)] == [first]
    second = scheduler.submit(long)
    seen = dict(scheduler.step(4))
    assert (len(seen[first].ids), len(seen[second].ids)) == (8, 4)


def test_a_cancelled_job_leaves_its_row_to_the_next():
    scheduler = Scheduler(llama(), rows=1, slots=64)
    long = Job(np.array([5], np.int32), FREE | (np.arange(CONFIG.rows) == 2), 2, 30)
    first, second, third = (scheduler.submit(long) for _ in range(3))
    scheduler.step(3)
    scheduler.cancel(first)
    scheduler.cancel(second)
    assert (scheduler.running, scheduler.waiting) == (0, 1)
    ((ticket, continuation),) = scheduler.step(3)
    assert ticket == third
    assert len(continuation.ids) == 3
    scheduler.cancel(first)
    assert scheduler.running == 1


def test_a_stop_frees_the_row():
    scheduler = Scheduler(llama(), rows=1, slots=64)
    one = Job(np.array([5], np.int32), FREE, 60, 30, find_end=lambda ids: 4 if len(ids) >= 4 else None)
    scheduler.submit(one)
    ((_, continuation),) = scheduler.step(9)
    assert continuation.finish is Finish.STOP
    assert len(continuation.ids) == 4
    assert scheduler.running == 0
    assert scheduler.step(9) == []


def test_more_requests_compile_nothing():
    run_out(Scheduler(llama(), 2, 100), 5, jobs(6))
    functions = prefill, decode, insert
    before = [function._cache_size() for function in functions]
    run_out(Scheduler(llama(), 2, 100), 5, jobs(6, seed=1))
    assert [function._cache_size() for function in functions] == before


def test_a_job_that_does_not_fit_is_refused():
    scheduler = Scheduler(llama(), rows=1, slots=64)
    with pytest.raises(UserError, match="tokens of a request = 65: prompt and new tokens must be 2 to 64"):
        scheduler.submit(Job(np.ones(33, np.int32), FREE, 2, 32))
    with pytest.raises(UserError, match="must be 2 to 64"):
        scheduler.submit(Job(np.zeros(0, np.int32), FREE, 2, 32))
    scheduler.submit(Job(np.ones(32, np.int32), FREE, 2, 32))


@pytest.mark.parametrize("sizes", [{"tensor": 2}, {"data": 2, "tensor": 2}], ids=str)
def test_a_split_model_gives_the_same(sizes):
    asked = jobs(5, seed=3)
    expected = run_out(Scheduler(llama(), 2, 100), 7, asked)
    found = run_out(Scheduler(split_llama(sizes), 2, 100), 7, asked)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
