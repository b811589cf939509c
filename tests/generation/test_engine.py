import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import Dtype
from spirit_jax.core.errors import UserError
from spirit_jax.generation import prompt_batches
from spirit_jax.generation.engine import Limits, decode, generate, make_rules, prefill, step
from spirit_jax.generation.prompt_batches import batch_prompts
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.tokens.vocabulary import Modality, TokenClass
from tests.generation.tiny import CONFIG, VOCABULARY, llama, logits_by_definition, random_llama

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
    assert set(VOCABULARY.classes_of(ids)) == {
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
    before = prefill._cache_size(), decode._cache_size()
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
    assert (prefill._cache_size(), decode._cache_size()) == (before[0] + 1, before[1] + 1)


SAMPLED = make_rules(NOTHING, VOCABULARY.eos, Sampling(1.5, 0.95))


def start(prompts, new_slots=32, seed=3):
    """The state after the prompts, all in one batch; and the batch."""
    (batch,) = batch_prompts(prompts, CONFIG, new_slots)
    return prefill(llama(), *batch, np.uint32(seed), new_slots=new_slots), batch


def new_ids(state, batch):
    """The new ids of each prompt, in the order of the prompts."""
    ids_BN, counts_B = np.asarray(state.ids_BN), np.asarray(state.counts_B)
    rows = np.flatnonzero(batch.lengths_B)
    return [ids_BN[row, : counts_B[row]].tolist() for row in rows[np.argsort(batch.numbers_B[rows])]]


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_steps_one_by_one_equal_one_decode():
    prompts = random_prompts(5)
    stepped, batch = start(prompts)
    rows, given = len(batch.lengths_B), []
    for _ in range(20):
        stepped, next_B = step(llama(), stepped, SAMPLED)
        given.append(np.asarray(next_B))
    state, _ = start(prompts)
    decoded = decode(llama(), state, SAMPLED, 20)
    assert_same(stepped, decoded)
    columns = [[int(id) for id in column if id != VOCABULARY.eos] for column in np.stack(given, 1)]
    ids_BN, counts_B = np.asarray(decoded.ids_BN), np.asarray(decoded.counts_B)
    assert columns == [ids_BN[row, : counts_B[row]].tolist() for row in range(rows)]


@pytest.mark.parametrize("chunk", [1, 7, 19])
def test_decoding_in_chunks_equals_all_at_once(chunk):
    prompts = random_prompts(5)
    whole, batch = start(prompts)
    whole = decode(llama(), whole, SAMPLED, 20)
    state, _ = start(prompts)
    for taken in range(0, 20, chunk):
        state = decode(llama(), state, SAMPLED, min(chunk, 20 - taken))
    assert_same(state, whole)
    assert max(map(len, new_ids(whole, batch))) == 20


def test_prompts_of_unlike_lengths_give_what_each_gives_alone():
    prompts = [*random_prompts(6), *random_prompts(2, 40, 64, seed=1)]
    state, batch = start(prompts)
    for row, (number, length) in enumerate(zip(batch.numbers_B, batch.lengths_B)):
        expected = logits_by_definition(prompts[number])[-1]
        np.testing.assert_allclose(state.logits_BV[row], expected, rtol=1e-4, atol=1e-4)
        alone = prefill(llama(), *(x[row : row + 1] for x in batch), np.uint32(3), new_slots=32)
        keys = jax.random.key_data(state.keys_B[row]), jax.random.key_data(alone.keys_B[0])
        np.testing.assert_array_equal(*keys)
        for whole, part in zip(state.cache, alone.cache):
            np.testing.assert_allclose(
                whole[:, row, :, :length], part[:, 0, :, :length], rtol=1e-4, atol=1e-4
            )


def test_a_row_continues_the_same_among_rows_at_other_positions():
    early, _ = start(random_prompts(8, seed=1))
    late, _ = start(random_prompts(8, seed=2), seed=4)
    late = decode(llama(), late, SAMPLED, 9)
    mixed = jax.tree.map(lambda a, b: a.at[0].set(b[0]), early, late)
    cache = tuple(a.at[:, 0].set(b[:, 0]) for a, b in zip(early.cache, late.cache))
    mixed = decode(llama(), dataclasses.replace(mixed, cache=cache), SAMPLED, 12)
    alone = decode(llama(), late, SAMPLED, 12)
    assert int(mixed.counts_B[0]) == int(alone.counts_B[0]) > 9
    np.testing.assert_array_equal(mixed.ids_BN[0], alone.ids_BN[0])


def test_a_row_closes_when_its_slots_are_full():
    rules = make_rules(NO_EOS, VOCABULARY.eos, GREEDY)
    prompt = random_prompts(1, 32, 32)[0]
    state, batch = start([prompt], new_slots=4)
    state = decode(llama(), state, rules, 100)
    assert new_ids(state, batch) == [greedy_without_cache(prompt, NO_EOS, 4)]
    assert not state.open_B.any()
    again, next_B = step(llama(), state, rules)
    assert new_ids(again, batch) == [greedy_without_cache(prompt, NO_EOS, 4)]
    assert next_B.tolist() == [VOCABULARY.eos]


def test_no_call_of_one_shape_compiles_twice():
    functions = prefill, step, decode
    sizes = []
    for seed in range(3):
        state, _ = start(random_prompts(7, seed=seed), seed=seed)
        rules = make_rules(VOCABULARY.forbidden(Modality.TEXT), seed, Sampling(0.5 * seed, 0.9))
        for count in (1, 2 + seed):
            state, _ = step(llama(), state, rules)
            state = decode(llama(), state, rules, count)
        sizes.append([function._cache_size() for function in functions])
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_state_is_donated():
    state, _ = start(random_prompts(3))
    for advance in (lambda s: step(llama(), s, SAMPLED)[0], lambda s: decode(llama(), s, SAMPLED, 2)):
        before, state = state, advance(state)
        assert all(x.is_deleted() for x in before.cache)


def test_fewer_rows_give_the_same_ids(monkeypatch):
    prompts = random_prompts(5)
    expected = generate(llama(), prompts, NO_EOS, Limits(6, VOCABULARY.eos), GREEDY)
    monkeypatch.setattr(prompt_batches, "MAX_CACHE_BYTES", 20_000)
    assert {len(batch.lengths_B) for batch in batch_prompts(prompts, CONFIG, 32)} == {1}
    for left, right in zip(expected, generate(llama(), prompts, NO_EOS, Limits(6, VOCABULARY.eos), GREEDY)):
        np.testing.assert_array_equal(left, right)


def test_a_bfloat16_model_chooses_by_float32_logits():
    """Of the hidden states that it computed; in bfloat16 most of these rows would have ties."""
    cfg = dataclasses.replace(CONFIG, rows=4096, dtype=Dtype.BFLOAT16)
    model = random_llama(cfg, 0.1)
    (batch,) = batch_prompts(random_prompts(60), cfg, 32)
    state = prefill(model, *batch, np.uint32(0), new_slots=32)
    slots = np.broadcast_to(np.arange(batch.tokens_BP.shape[1], dtype=np.int32), batch.tokens_BP.shape)
    hidden_BPD = jax.jit(lambda m, t, p: m.hidden(t, p)[0])(model, batch.tokens_BP, slots)
    hidden_BD = np.asarray(hidden_BPD)[np.arange(len(slots)), np.maximum(batch.lengths_B - 1, 0)]
    table_VD = np.asarray(model.output_VD.astype(jnp.bfloat16))
    exact_BV = hidden_BD.astype(np.float64) @ table_VD.astype(np.float64).T
    assert state.logits_BV.dtype == jnp.float32
    rules = make_rules(np.zeros(cfg.rows, bool), cfg.rows, GREEDY)
    drawn_B = np.asarray(step(model, state, rules)[1])
    open_B = batch.lengths_B > 0
    np.testing.assert_array_equal(drawn_B[open_B], exact_BV.argmax(-1)[open_B])
    rounded_BV = exact_BV.astype(jnp.bfloat16)
    assert (rounded_BV == rounded_BV.max(-1, keepdims=True)).sum(-1).max() > 1, "no ties: tests nothing"


def test_nothing_to_do_and_bad_input():
    assert generate(llama(), [], NOTHING, Limits(5, 2), GREEDY) == []
    with pytest.raises(UserError, match="at least one id"):
        generate(llama(), [np.zeros(0, np.int32)], NOTHING, Limits(5, 2), GREEDY)
    with pytest.raises(UserError, match="max_new_tokens = 0"):
        Limits(0, 2)
