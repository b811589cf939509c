import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import Dtype
from spirit_jax.generation import prompt_batches
from spirit_jax.generation.engine import close, decode, insert, prefill
from spirit_jax.generation.jobs import Job, keys_of, rules_of
from spirit_jax.generation.prompt_batches import batch_prompts
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.tokens.vocabulary import Modality, TokenClass
from tests.generation.tiny import CONFIG, VOCABULARY, llama, logits_by_definition, new_ids, random_llama

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
    outputs = new_ids(llama(), prompts, NO_EOS, 12)
    for prompt, output in zip(prompts, outputs):
        assert output.tolist() == greedy_without_cache(prompt, NO_EOS, 12)
    assert len({tuple(output) for output in outputs}) > 1


def test_a_prompt_is_continued_the_same_alone_in_any_company_and_in_any_order():
    prompts, sampling = random_prompts(6), Sampling(1.0, 0.95)
    together = new_ids(llama(), prompts, NOTHING, 10, sampling, 5)
    longer = new_ids(llama(), [*random_prompts(3, 31, 60), *prompts], NOTHING, 10, sampling, 5)[3:]
    backwards = new_ids(llama(), prompts[::-1], NOTHING, 10, sampling, 5)[::-1]
    alone = [new_ids(llama(), [prompt], NOTHING, 10, sampling, 5)[0] for prompt in prompts]
    assert len({tuple(ids) for ids in together}) > 1
    for others in (longer, backwards, alone):
        for left, right in zip(together, others, strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_seed_decides():
    first, again, other = (
        np.concatenate(new_ids(llama(), random_prompts(4), NO_EOS, 20, Sampling(1.5, 1.0), seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_equal_prompts_draw_differently_in_one_call_and_the_first_as_alone():
    prompt, sampling = random_prompts(1)[0], Sampling(1.5, 1.0)
    outputs = new_ids(llama(), [prompt] * 4, NO_EOS, 20, sampling)
    assert len({tuple(output) for output in outputs}) == 4
    np.testing.assert_array_equal(outputs[0], new_ids(llama(), [prompt], NO_EOS, 20, sampling)[0])


@pytest.mark.parametrize("modality", [Modality.TEXT, Modality.SPEECH])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(5.0, 1.0)])
def test_a_forced_modality_holds_and_padding_rows_never_appear(modality, sampling):
    outputs = new_ids(llama(), random_prompts(8), VOCABULARY.forbidden(modality), 30, sampling)
    ids = np.concatenate(outputs)
    assert set(VOCABULARY.classes_of(ids)) == {
        TokenClass.TEXT if modality is Modality.TEXT else TokenClass.SPEECH
    }
    assert ids.max() < VOCABULARY.size


def test_padding_rows_cannot_be_drawn_even_if_the_model_prefers_them():
    table_VD = llama().head_VD[...]
    model = jax.tree.map(lambda w: w, llama())
    model.head_VD = model.head_VD.copy(table_VD.at[VOCABULARY.size :].mul(1000.0))
    ids = np.concatenate(new_ids(model, random_prompts(8), NOTHING, 20, Sampling(2.0, 1.0)))
    assert len(ids)
    assert ids.max() < VOCABULARY.size


def test_eos_ends_a_row_and_is_left_out():
    eos = int(greedy_without_cache(random_prompts(1)[0], NO_EOS, 8)[5])
    output = new_ids(llama(), random_prompts(1), NO_EOS, 20, eos=eos)[0]
    full = greedy_without_cache(random_prompts(1)[0], NO_EOS, 8)
    assert output.tolist() == full[: full.index(eos)]


def test_one_row_that_ends_does_not_stop_the_others():
    prompts = random_prompts(8)
    full = new_ids(llama(), prompts, NO_EOS, 16)
    eos = int(full[0][3])
    cut = new_ids(llama(), prompts, NO_EOS, 16, eos=eos)
    for whole, part in zip(full, cut):
        expected = whole[: whole.tolist().index(eos)] if eos in whole else whole
        np.testing.assert_array_equal(part, expected)
    assert len({len(part) for part in cut}) > 1


def test_a_loop_over_many_prompts_compiles_each_size_once():
    sizes = set()
    for i, prompt in enumerate(random_prompts(12, 33, 64, seed=9)):
        sampling = Sampling(0.1 * i, 0.9, top_k=1 + i, repetition_penalty=1 + i / 9)
        new_ids(llama(), [prompt], VOCABULARY.forbidden(Modality.TEXT), 3 + i, sampling, i)
        sizes.add((prefill._cache_size(), decode._cache_size()))
    assert len(sizes) == 1


def job(ids, count=32, sampling=GREEDY, seed=3, forbidden_V=NOTHING):
    return Job(ids, forbidden_V, VOCABULARY.eos, count, sampling, seed)


SAMPLED = Sampling(1.5, 0.95)


def start(jobs, new_slots=32):
    """The state after the prompts, all in one batch; its rules; and the jobs by row, None for empty rows."""
    (batch,) = batch_prompts([one.ids for one in jobs], CONFIG, new_slots)
    rows = [jobs[number] if length else None for number, length in zip(batch.numbers_B, batch.lengths_B)]
    slots = batch.tokens_BP.shape[1] + new_slots
    return (
        prefill(llama(), batch.tokens_BP, batch.lengths_B, *keys_of(rows), slots=slots),
        rules_of(rows),
        rows,
    )


def ids_of(state):
    """The new ids of each row."""
    tokens_BS, lengths_B, counts_B = (
        np.asarray(x) for x in (state.tokens_BS, state.lengths_B, state.counts_B)
    )
    return [ids[n : n + count].tolist() for ids, n, count in zip(tokens_BS, lengths_B, counts_B)]


@pytest.mark.parametrize("chunk", [1, 7, 19])
@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_decoding_in_chunks_equals_all_at_once(chunk, sampling):
    jobs = [job(ids, 20 - 3 * i, sampling, 3, NO_EOS) for i, ids in enumerate(random_prompts(5))]
    whole, rules, _ = start(jobs)
    whole = decode(llama(), whole, rules, 100)
    state, rules, _ = start(jobs)
    for taken in range(0, 20, chunk):
        state = decode(llama(), state, rules, min(chunk, 20 - taken))
        assert max(map(len, ids_of(state))) <= taken + chunk
    assert ids_of(state) == ids_of(whole)
    np.testing.assert_allclose(state.log_probs_BS, whole.log_probs_BS, atol=1e-5)
    assert not whole.open_B.any()
    assert not state.open_B.any()
    assert max(map(len, ids_of(whole))) == 20


def test_log_probabilities_are_those_of_the_model_alone():
    """Whatever is forbidden, penalized or made likelier."""
    sampling = Sampling(3.0, 0.9, top_k=9, repetition_penalty=1.5)
    jobs = [job(prompt, 12, sampling, forbidden_V=NO_EOS) for prompt in random_prompts(4)]
    state, rules, rows = start(jobs)
    state = decode(llama(), state, rules, 12)
    for row, (one, ids) in enumerate(zip(rows, ids_of(state))):
        if one is None:
            continue
        logits = logits_by_definition([*one.ids, *ids])[len(one.ids) - 1 : -1]
        expected = jax.nn.log_softmax(logits)[np.arange(len(ids)), ids]
        found = state.log_probs_BS[row, len(one.ids) : len(one.ids) + len(ids)]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_prompts_of_unlike_lengths_give_what_each_gives_alone():
    jobs = [job(ids) for ids in [*random_prompts(6), *random_prompts(2, 40, 64, seed=1)]]
    state, _, rows = start(jobs)
    for row, one in enumerate(rows):
        expected = logits_by_definition(one.ids)[-1]
        np.testing.assert_allclose(state.logits_BV[row], expected, rtol=1e-4, atol=1e-4)
        alone, _, _ = start([one])
        keys = jax.random.key_data(state.keys_B[row]), jax.random.key_data(alone.keys_B[0])
        np.testing.assert_array_equal(*keys)
        for whole, part in zip(jax.tree.leaves(state.cache), jax.tree.leaves(alone.cache)):
            length = len(one.ids)
            np.testing.assert_allclose(whole[row, :, :length], part[0, :, :length], rtol=1e-4, atol=1e-4)


def test_a_row_that_is_inserted_continues_as_alone_and_changes_no_other():
    early = [job(ids, 30, SAMPLED) for ids in random_prompts(8, seed=1)]
    late = job(random_prompts(1, seed=2)[0], 12, Sampling(0.7, 0.9, 5, 1.3), 4, NO_EOS)
    alone, rules, _ = start([late])
    alone = decode(llama(), alone, rules, 12)
    undisturbed, rules, _ = start(early)
    undisturbed = decode(llama(), undisturbed, rules, 30)
    state, rules, _ = start(early)
    state = decode(llama(), state, rules, 9)
    new, new_rules, _ = start([late])
    state, rules = insert(state, rules, new, new_rules, 3)
    state = decode(llama(), state, rules, 30)
    assert ids_of(state)[3] == ids_of(alone)[0]
    assert ids_of(state)[:3] + ids_of(state)[4:] == ids_of(undisturbed)[:3] + ids_of(undisturbed)[4:]
    assert len(ids_of(alone)[0]) == 12


def test_a_row_that_is_closed_generates_nothing_more():
    state, rules, _ = start([job(ids, 30, SAMPLED) for ids in random_prompts(8, seed=1)])
    state = decode(llama(), state, rules, 4)
    before = ids_of(state)
    state = decode(llama(), close(state, np.arange(8) == 2), rules, 30)
    assert ids_of(state)[2] == before[2]
    assert max(map(len, ids_of(state))) == 30


def test_a_row_closes_at_its_limit():
    prompt = random_prompts(1, 32, 32)[0]
    state, rules, _ = start([job(prompt, 4, forbidden_V=NO_EOS)], new_slots=32)
    state = decode(llama(), state, rules, 100)
    assert ids_of(state) == [greedy_without_cache(prompt, NO_EOS, 4)]
    assert not state.open_B.any()
    assert ids_of(decode(llama(), state, rules, 100)) == [greedy_without_cache(prompt, NO_EOS, 4)]


def test_no_call_of_one_shape_compiles_twice():
    functions = prefill, decode, insert, close
    sizes = []
    for seed in range(3):
        jobs = [job(ids, 9 + seed, Sampling(0.5 * seed, 0.9), seed) for ids in random_prompts(7, seed=seed)]
        state, rules, _ = start(jobs)
        rules = jax.tree.map(jnp.asarray, rules)
        for count in (1, 2 + seed):
            state = decode(llama(), state, rules, count)
        new, new_rules, _ = start(jobs[:1])
        state, rules = insert(state, rules, new, new_rules, seed)
        state = decode(llama(), close(state, np.zeros(8, bool)), rules, 2)
        sizes.append([function._cache_size() for function in functions])
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_state_is_donated():
    state, rules, _ = start([job(ids) for ids in random_prompts(3)])
    for advance in (lambda s: decode(llama(), s, rules, 2), lambda s: close(s, np.zeros(8, bool))):
        before, state = state, advance(state)
        assert all(x.is_deleted() for x in jax.tree.leaves(before.cache))


def test_fewer_rows_give_the_same_ids(monkeypatch):
    prompts = random_prompts(5)
    expected = new_ids(llama(), prompts, NO_EOS, 6)
    monkeypatch.setattr(prompt_batches, "MAX_CACHE_BYTES", 20_000)
    assert {len(batch.lengths_B) for batch in batch_prompts(prompts, CONFIG, 32)} == {1}
    for left, right in zip(expected, new_ids(llama(), prompts, NO_EOS, 6)):
        np.testing.assert_array_equal(left, right)


def test_a_bfloat16_model_chooses_by_float32_logits():
    """Of the hidden states that it computed; in bfloat16 most of these rows would have ties."""
    cfg = dataclasses.replace(CONFIG, rows=4096, dtype=Dtype.BFLOAT16)
    model = random_llama(cfg, 0.1)
    jobs = [Job(ids, np.zeros(cfg.rows, bool), cfg.rows, 1) for ids in random_prompts(64)]
    (batch,) = batch_prompts([one.ids for one in jobs], cfg, 32)
    rows = [jobs[number] for number in batch.numbers_B]
    state = prefill(model, batch.tokens_BP, batch.lengths_B, *keys_of(rows), slots=64)
    slots = np.broadcast_to(np.arange(batch.tokens_BP.shape[1], dtype=np.int32), batch.tokens_BP.shape)
    hidden_BPD = jax.jit(lambda m, t, p: m.hidden(t, p)[0])(model, batch.tokens_BP, slots)
    hidden_BD = np.asarray(hidden_BPD)[np.arange(len(slots)), batch.lengths_B - 1]
    table_VD = np.asarray(model.output_VD.astype(jnp.bfloat16))
    exact_BV = hidden_BD.astype(np.float64) @ table_VD.astype(np.float64).T
    assert state.logits_BV.dtype == jnp.float32
    drawn = ids_of(decode(model, state, rules_of(rows), 1))
    assert [ids[0] for ids in drawn] == exact_BV.argmax(-1).tolist()
    rounded_BV = exact_BV.astype(jnp.bfloat16)
    assert (rounded_BV == rounded_BV.max(-1, keepdims=True)).sum(-1).max() > 1, "no ties: tests nothing"
