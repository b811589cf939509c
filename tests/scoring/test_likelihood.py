import jax
import numpy as np
import pytest

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.scoring import likelihood
from spirit_jax.scoring.likelihood import log_probs, score
from tests.generation.tiny import VOCABULARY, llama, logits_by_definition


def random_pairs(count, high=60, seed=0):
    rng = np.random.default_rng(seed)

    def draw():
        return rng.integers(0, VOCABULARY.size, rng.integers(1, high)).astype(np.int32)

    return [(draw(), draw()) for _ in range(count)]


def log_probs_by_definition(prompt, target):
    """One pair alone, the prompt grown token by token."""
    log_BV = np.asarray(jax.nn.log_softmax(logits_by_definition(np.concatenate([prompt, target])), axis=-1))
    return np.array([log_BV[len(prompt) + i - 1, token] for i, token in enumerate(target)])


def test_packed_scores_equal_each_pair_alone():
    pairs = random_pairs(12)
    for pair, packed in zip(pairs, log_probs(llama(), pairs)):
        np.testing.assert_allclose(packed, log_probs_by_definition(*pair), rtol=1e-4, atol=1e-4)


def test_sums_lengths_and_means():
    pairs = random_pairs(5)
    scores = score(llama(), pairs)
    assert scores.lengths.tolist() == [len(target) for _, target in pairs]
    for pair, total, mean in zip(pairs, scores.sums, scores.means):
        expected = log_probs_by_definition(*pair)
        assert total == pytest.approx(expected.sum(), rel=1e-4)
        assert mean == pytest.approx(expected.mean(), rel=1e-4)


def test_probabilities_of_all_next_tokens_sum_to_one():
    prompt = np.array([1, 5, 7], np.int32)
    pairs = [(prompt, np.array([token], np.int32)) for token in range(llama().cfg.rows)]
    assert np.exp(score(llama(), pairs).sums).sum() == pytest.approx(1, abs=1e-4)


def questions(subjects=2, asked=8, answers=4, seed=0):
    """Pairs of questions behind the examples of their subject, each with several answers, in mixed order."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(subjects):
        examples = rng.integers(0, VOCABULARY.size, 40)
        for _ in range(asked):
            prompt = np.concatenate([examples, rng.integers(0, VOCABULARY.size, rng.integers(5, 12))])
            pairs += [(prompt, rng.integers(0, VOCABULARY.size, rng.integers(1, 4))) for _ in range(answers)]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def test_shared_beginnings_change_no_score():
    pairs = questions()
    scores = score(llama(), pairs)
    for pair, total in zip(pairs, scores.sums):
        assert total == pytest.approx(log_probs_by_definition(*pair).sum(), rel=1e-4, abs=1e-4)
    alone = np.array([score(llama(), [pair]).sums[0] for pair in pairs[:8]])
    np.testing.assert_allclose(scores.sums[:8], alone, rtol=1e-5, atol=1e-5)


def test_shared_beginnings_are_read_once():
    pairs = questions(asked=20)
    reading = score(llama(), pairs).reading
    assert reading.tokens == sum(len(prompt) + len(target) - 1 for prompt, target in pairs)
    assert reading.shared > 0.75
    assert reading.filled == round((1 - reading.shared) * reading.tokens)


def test_equal_targets_have_equal_scores():
    prompt, target = random_pairs(1)[0]
    scores = score(llama(), [(prompt, target), *random_pairs(5), (prompt, target)])
    assert scores.sums[0] == scores.sums[-1]


@pytest.mark.parametrize(("shortest", "longest"), [(8, 22), (60, 120), (200, 400), (258, 300), (300, 360)])
def test_rows_are_so_wide_that_a_7b_reads_little_padding(shortest, longest):
    """Rows of the least width hold one or two of the longer ones."""
    rng = np.random.default_rng(0)
    sequences = [rng.integers(3, 32_000, length) for length in rng.integers(shortest, longest, 400)]
    rows, width = likelihood._arrange(sequences, ModelConfig(rows=32_768))
    slots = sum(height * width for _, height in likelihood._calls(len(rows), width))
    assert 0.9 * slots < sum(tree.size for row in rows for tree in row) <= slots
    assert max(len(ids) for ids in sequences) <= width <= likelihood.MAX_TOKENS


@pytest.mark.parametrize("pairs", [random_pairs(600), questions(6, 40)], ids=["apart", "questions"])
def test_less_than_a_tenth_of_the_slots_is_padding(pairs):
    reading = score(llama(), pairs).reading
    assert 0 <= reading.padding < 0.1
    assert reading.slots % likelihood.MIN_WIDTH == 0


def test_many_pairs_compile_few_shapes():
    likelihood._score_slots.clear_cache()
    for count in (150, 151, 300, 750):
        log_probs(llama(), random_pairs(count, 100, seed=count))
    assert likelihood._score_slots._cache_size() <= 4


def test_a_pair_longer_than_a_row_widens_the_rows():
    pair = random_pairs(1)[0]
    long = (np.tile(pair[0], 10)[:300], pair[1])
    alone, among_others = log_probs(llama(), [long])[0], log_probs(llama(), [pair, long, pair])[1]
    np.testing.assert_allclose(alone, among_others, rtol=1e-5, atol=1e-5)


def test_empty_sides_are_refused_and_nothing_scores_nothing():
    with pytest.raises(UserError, match="lengths"):
        log_probs(llama(), [(np.zeros(0, np.int32), np.array([1]))])
    assert log_probs(llama(), []) == []
    assert score(llama(), []).reading.padding == 0
