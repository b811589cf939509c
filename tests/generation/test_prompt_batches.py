import jax
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation import prompt_batches
from spirit_jax.generation.prompt_batches import ROWS, batch_prompts, choose_rows
from spirit_jax.model.cache import new_cache
from tests.generation.tiny import CONFIG

ONE = {"data": 1, "fsdp": 1, "context": 1, "tensor": 1}


def random_prompts(count, high, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 90, rng.integers(1, high + 1)).astype(np.int32) for _ in range(count)]


@pytest.mark.parametrize(("count", "high"), [(1, 5), (8, 31), (9, 400), (150, 90)])
def test_each_prompt_is_in_one_row(count, high):
    prompts, seen = random_prompts(count, high), []
    for tokens_BP, lengths_B, numbers_B in batch_prompts(prompts, CONFIG, 32):
        assert tokens_BP.shape[0] == len(lengths_B) == len(numbers_B)
        for row in np.flatnonzero(lengths_B):
            np.testing.assert_array_equal(tokens_BP[row, : lengths_B[row]], prompts[numbers_B[row]])
            assert not tokens_BP[row, lengths_B[row] :].any()
            seen.append(int(numbers_B[row]))
    assert sorted(seen) == list(range(count))


def test_shapes_are_few():
    shapes = {
        batch.tokens_BP.shape
        for seed in range(20)
        for batch in batch_prompts(random_prompts(200, 500, seed), CONFIG, 32)
    }
    assert shapes <= {(64, slots) for slots in (32, 64, 128, 256, 512)}


def test_short_prompts_share_the_shape_of_long_ones_unless_they_are_far_shorter():
    def slots(*lengths):
        prompts = [np.ones(length, np.int32) for length in lengths]
        return [batch.tokens_BP.shape[1] for batch in batch_prompts(prompts, CONFIG, 32)]

    assert slots(128, 32) == [128]
    assert slots(*[256] * 64, 64) == [256, 256]
    assert slots(*[256] * 64, 32) == [256, 32]


def test_rows_shrink_with_the_cache(monkeypatch):
    assert choose_rows(5, CONFIG, 32, 32, ONE) == 8
    one = sum(x.nbytes for x in jax.tree.leaves(new_cache(CONFIG, 1, 64)))
    for rows, bound in ((1, 8 * one - 1), (8, 8 * one), (8, 64 * one - 1), (64, 64 * one)):
        monkeypatch.setattr(prompt_batches, "MAX_CACHE_BYTES", bound)
        assert choose_rows(100, CONFIG, 32, 32, ONE) == rows
        # two devices hold half of each row's heads, or half of the rows
        assert choose_rows(200, CONFIG, 96, 32, ONE | {"tensor": 2}) == rows
        assert choose_rows(200, CONFIG, 32, 32, ONE | {"data": 2}) == 2 * rows
    monkeypatch.setattr(prompt_batches, "MAX_CACHE_BYTES", 1)
    assert choose_rows(100, CONFIG, 32, 32, ONE) == min(ROWS)
    assert choose_rows(1, CONFIG, 32, 32, ONE | {"data": 2, "fsdp": 3}) == 6


def test_rows_shrink_with_the_scores_of_long_prompts(monkeypatch):
    """A small model's cache is small, but the scores of a prompt grow with the square of its length."""
    one = 4 * CONFIG.heads * 96 * 128
    for rows, bound in ((1, 8 * one - 1), (8, 8 * one), (8, 64 * one - 1), (64, 64 * one)):
        monkeypatch.setattr(prompt_batches, "MAX_SCORES_BYTES", bound)
        assert choose_rows(100, CONFIG, 96, 32, ONE) == rows


def test_no_prompts_give_no_batch_and_an_empty_one_is_refused():
    assert list(batch_prompts([], CONFIG, 32)) == []
    with pytest.raises(UserError, match="at least one id"):
        list(batch_prompts([np.zeros(0, np.int32)], CONFIG, 32))
