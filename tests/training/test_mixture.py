import json

import grain
import numpy as np
import pytest

from spirit_jax.errors import UserError
from spirit_jax.training.mixture import TokenMixture

LENGTHS = ((400, 600), (20, 40), (90, 110))


def make_mixture(weights, lengths=LENGTHS):
    def parent(source: int) -> grain.IterDataset:
        def documents(index: int) -> list[np.ndarray]:
            low, high = lengths[source]
            return [np.full(np.random.default_rng((source, index)).integers(low, high), source)] if high else []

        return grain.MapDataset.range(10**9).map(documents).to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))

    return TokenMixture([parent(source) for source in range(len(weights))], weights, [100] * len(weights))


def tokens_by_source(iterator, records: int) -> np.ndarray:
    tokens = np.zeros(3)
    for _ in range(records):
        for document in next(iterator):
            tokens[document[0]] += len(document) - 1
    return tokens


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1 / 3, 1 / 3, 1 / 3), (5.0, 1.0, 2.0), (0.01, 0.9, 0.09)])
def test_shares_are_of_tokens_not_of_records(weights):
    tokens = tokens_by_source(iter(make_mixture(weights)), 3000)
    shares = np.array(weights) / sum(weights)
    assert np.abs(tokens / tokens.sum() - shares).max() < 0.02
    assert np.abs(tokens - shares * tokens.sum()).max() <= max(high for _, high in LENGTHS), "off by at most a document"


def test_goes_on_where_its_state_was_read():
    iterator = iter(make_mixture((1.0, 2.0, 3.0)))
    tokens_by_source(iterator, 57)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = [next(iterator) for _ in range(40)]
    other = iter(make_mixture((1.0, 2.0, 3.0)))
    other.set_state(state)
    for documents in expected:
        np.testing.assert_array_equal(next(other)[0], documents[0])


@pytest.mark.parametrize("lengths", [(0, 0), (1, 2)])
def test_a_source_without_targets_is_named_and_ends_the_search(lengths):
    with pytest.raises(UserError, match=r"sources\[1\]"):
        tokens_by_source(iter(make_mixture((1.0, 1.0, 1.0), (LENGTHS[0], lengths, LENGTHS[2]))), 10)
