import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation.engine import decode
from spirit_jax.generation.jobs import Finish, Job, follow, generate
from spirit_jax.generation.sampling import GREEDY, Sampling
from tests.generation.tiny import CONFIG, VOCABULARY, llama, logits_by_definition

FREE = np.zeros(CONFIG.rows, bool)
FREE[VOCABULARY.size :] = True
NO_EOS = FREE | (np.arange(CONFIG.rows) == VOCABULARY.eos)


def prompts(count, high=30, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(3, VOCABULARY.size, rng.integers(1, high)).astype(np.int32) for _ in range(count)]


def job(ids, count=20, sampling=GREEDY, forbidden_V=NO_EOS, **options):
    return Job(ids, forbidden_V, VOCABULARY.eos, count, sampling, **options)


def assert_same(one, other):
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)
    assert one.finish is other.finish


def test_each_job_has_its_own_limit_sampling_seed_and_forbidden_ids():
    ids = prompts(1)[0]
    jobs = [
        job(ids, 5),
        job(ids, 9, Sampling(1.5, 1.0), seed=1),
        job(ids, 9, Sampling(1.5, 1.0), seed=2),
        job(ids, 9, Sampling(5.0, 1.0, top_k=2)),
        job(ids, 9, forbidden_V=NO_EOS | (np.arange(CONFIG.rows) % 2 == 0)),
        job(ids, 9, Sampling(0.0, repetition_penalty=1e6)),
    ]
    together = generate(llama(), jobs)
    for one, found in zip(jobs, together):
        assert_same(found, generate(llama(), [one])[0])
        assert len(found.ids) == one.max_new_tokens == len(found.log_probs)
        assert found.finish is Finish.LIMIT
    assert (together[4].ids % 2 == 1).all()
    assert (together[1].ids != together[2].ids).any()
    assert not set(together[5].ids) & set(ids)


def test_the_two_likeliest_ids_are_all_that_top_k_2_draws():
    ids = prompts(1)[0]
    (found,) = generate(llama(), [job(ids, 12, Sampling(5.0, 1.0, top_k=2))])
    for at, new in enumerate(found.ids):
        logits = np.where(NO_EOS, -np.inf, logits_by_definition([*ids, *found.ids[:at]])[-1])
        assert new in np.argsort(logits)[-2:]


def test_a_repeated_id_is_as_unlikely_as_the_penalty_says():
    ids, penalty = prompts(1)[0], 1.7
    (found,) = generate(llama(), [job(ids, 12, Sampling(0.0, repetition_penalty=penalty))])
    so_far = list(ids)
    for new in found.ids:
        logits = logits_by_definition(so_far)[-1].copy()
        seen = np.unique(so_far)
        logits[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        assert new == np.argmax(np.where(NO_EOS, -np.inf, logits))
        so_far.append(int(new))


@pytest.mark.parametrize("chunk", [1, 5, 16])
def test_a_followed_job_gives_growing_ids_and_ends_as_all_at_once(chunk):
    one = job(prompts(1)[0], 20, Sampling(1.2, 0.9))
    seen = list(follow(llama(), one, chunk))
    assert len(seen[0].ids) == 1
    assert [len(c.ids) for c in seen] == sorted({min(20, 1 + chunk * i) for i in range(21)})[: len(seen)]
    assert [c.finish for c in seen[:-1]] == [None] * (len(seen) - 1)
    for earlier, later in zip(seen, seen[1:]):
        np.testing.assert_array_equal(earlier.ids, later.ids[: len(earlier.ids)])
    assert_same(seen[-1], generate(llama(), [one])[0])


def test_a_stop_ends_its_row_alone_wherever_it_falls():
    def stop_at(count):
        return lambda ids: count if len(ids) >= count else None

    whole = generate(llama(), [job(ids, 40) for ids in prompts(5)])
    stopped = generate(
        llama(), [job(ids, 40, find_end=stop_at(7 * i) if i else None) for i, ids in enumerate(prompts(5))]
    )
    for i, (before, after) in enumerate(zip(whole, stopped)):
        kept = 7 * i or 40
        np.testing.assert_array_equal(after.ids, before.ids[:kept])
        np.testing.assert_allclose(after.log_probs, before.log_probs[:kept], atol=1e-4)
        assert after.finish is (Finish.STOP if i else Finish.LIMIT)


def test_eos_is_told_from_the_limit():
    whole = generate(llama(), [job(prompts(1)[0], 12, forbidden_V=FREE)])[0]
    eos = int(whole.ids[5])
    ended = generate(llama(), [Job(prompts(1)[0], FREE, eos, 12)])[0]
    assert ended.finish is Finish.EOS
    assert len(ended.ids) == whole.ids.tolist().index(eos)


def test_other_draws_compile_nothing():
    generate(llama(), [job(prompts(1)[0], 4)])
    before = decode._cache_size()
    for sampling in (Sampling(1.0), Sampling(0.3, 0.2, 7, 2.0), GREEDY):
        generate(llama(), [job(prompts(1)[0], 5, sampling, seed=9)])
    assert decode._cache_size() == before


def test_nothing_to_do_and_bad_input():
    assert generate(llama(), []) == []
    with pytest.raises(UserError, match="at least one id"):
        generate(llama(), [job(np.zeros(0, np.int32))])
    with pytest.raises(UserError, match="max_new_tokens = 0"):
        job(prompts(1)[0], 0)
    with pytest.raises(UserError, match="seed = -1"):
        job(prompts(1)[0], seed=-1)
