import jax
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation import engine
from spirit_jax.generation.engine import Limits, generate
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.tokens.vocabulary import Modality, TokenClass
from tests.generation.tiny import CONFIG, VOCABULARY, llama, logits_by_definition

NOTHING = VOCABULARY.forbidden(Modality.ARBITRARY)
NO_EOS = NOTHING | (np.arange(CONFIG.rows) == VOCABULARY.eos)


def random_prompts(count, low=1, high=30, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(3, VOCABULARY.size, rng.integers(low, high + 1)).astype(np.int32) for _ in range(count)
    ]


def greedy_without_cache(prompt, forbidden, count):
    """The definition: the whole sequence again for every token."""
    ids = list(prompt)
    for _ in range(count):
        logits = logits_by_definition(ids)[-1]
        ids.append(int(np.argmax(np.where(forbidden, -np.inf, logits))))
        if ids[-1] == VOCABULARY.eos:
            return ids[len(prompt) : -1]
    return ids[len(prompt) :]


def test_cached_greedy_equals_the_definition_for_prompts_of_all_lengths():
    prompts = random_prompts(5)
    outputs = generate(llama(), prompts, NO_EOS, Limits(12, VOCABULARY.eos), GREEDY)
    for prompt, output in zip(prompts, outputs):
        assert output.tolist() == greedy_without_cache(prompt, NO_EOS, 12)
    assert len({tuple(output) for output in outputs}) > 1


def test_a_prompt_is_continued_the_same_in_any_company():
    prompts = random_prompts(6)
    limits, sampling = Limits(10, VOCABULARY.eos), Sampling(1.0, 0.95)
    together = generate(llama(), prompts, NOTHING, limits, sampling, seed=5)
    longer = generate(llama(), [*prompts, *random_prompts(3, 31, 60)], NOTHING, limits, sampling, seed=5)
    for left, right in zip(together, longer):
        np.testing.assert_array_equal(left, right)


def test_the_seed_decides():
    prompts = random_prompts(4)
    limits, sampling = Limits(20, VOCABULARY.eos), Sampling(1.5, 1.0)
    first, again, other = (
        np.concatenate(generate(llama(), prompts, NO_EOS, limits, sampling, seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_equal_prompts_draw_differently_in_one_call():
    outputs = generate(
        llama(), [random_prompts(1)[0]] * 4, NO_EOS, Limits(20, VOCABULARY.eos), Sampling(1.5, 1.0)
    )
    assert len({tuple(output) for output in outputs}) == 4


@pytest.mark.parametrize("modality", [Modality.TEXT, Modality.SPEECH])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(5.0, 1.0)])
def test_a_forced_modality_holds_and_padding_rows_never_appear(modality, sampling):
    outputs = generate(
        llama(), random_prompts(8), VOCABULARY.forbidden(modality), Limits(30, VOCABULARY.eos), sampling
    )
    ids = np.concatenate(outputs)
    assert set(VOCABULARY.modality_of(ids)) == {
        TokenClass.TEXT if modality is Modality.TEXT else TokenClass.SPEECH
    }
    assert ids.max() < VOCABULARY.size


def test_padding_rows_cannot_be_drawn_even_if_the_model_prefers_them():
    table_VD = llama().head_VD[...]
    model = jax.tree.map(lambda w: w, llama())
    model.head_VD = model.head_VD.copy(table_VD.at[VOCABULARY.size :].mul(1000.0))
    ids = np.concatenate(
        generate(model, random_prompts(8), NOTHING, Limits(20, VOCABULARY.eos), Sampling(2.0, 1.0))
    )
    assert len(ids)
    assert ids.max() < VOCABULARY.size


def test_eos_ends_a_row_and_is_left_out():
    eos = int(greedy_without_cache(random_prompts(1)[0], NO_EOS, 8)[5])
    output = generate(llama(), random_prompts(1), NO_EOS, Limits(20, eos), GREEDY)[0]
    full = greedy_without_cache(random_prompts(1)[0], NO_EOS, 8)
    assert output.tolist() == full[: full.index(eos)]


def test_one_row_that_ends_does_not_stop_the_others():
    prompts = random_prompts(8)
    full = generate(llama(), prompts, NO_EOS, Limits(16, VOCABULARY.eos), GREEDY)
    eos = int(full[0][3])
    cut = generate(llama(), prompts, NO_EOS, Limits(16, eos), GREEDY)
    for whole, part in zip(full, cut):
        expected = whole[: whole.tolist().index(eos)] if eos in whole else whole
        np.testing.assert_array_equal(part, expected)
    assert len({len(part) for part in cut}) > 1


def test_a_loop_over_many_prompts_compiles_each_size_once():
    before = engine._decode._cache_size()
    for i, prompt in enumerate(random_prompts(12, 33, 64, seed=9)):
        sampling = Sampling(0.1 * i, 0.9)
        generate(
            llama(),
            [prompt],
            VOCABULARY.forbidden(Modality.TEXT),
            Limits(3 + i, VOCABULARY.eos),
            sampling,
            seed=i,
        )
    assert engine._decode._cache_size() - before == 1


def test_rows_shrink_with_the_cache(monkeypatch):
    prompts = random_prompts(5)
    expected = generate(llama(), prompts, NO_EOS, Limits(6, VOCABULARY.eos), GREEDY)
    monkeypatch.setattr(engine, "MAX_CACHE_BYTES", 20_000)
    assert engine.choose_rows(5, CONFIG, 64) == 1
    for left, right in zip(expected, generate(llama(), prompts, NO_EOS, Limits(6, VOCABULARY.eos), GREEDY)):
        np.testing.assert_array_equal(left, right)


def test_nothing_to_do_and_bad_input():
    assert generate(llama(), [], NOTHING, Limits(5, 2), GREEDY) == []
    with pytest.raises(UserError, match="at least one id"):
        generate(llama(), [np.zeros(0, np.int32)], NOTHING, Limits(5, 2), GREEDY)
    with pytest.raises(UserError, match="max_new_tokens = 0"):
        Limits(0, 2)
