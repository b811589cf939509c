import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.training.data.mixture import TokenMixture

LENGTHS = ((400, 600), (20, 40), (90, 110))


def make_mixture(weights, lengths=LENGTHS, **slices) -> TokenMixture:
    def reader(source: int):
        low, high = lengths[source]
        return lambda index: (
            [np.full(np.random.default_rng((source, index)).integers(low, high), index)] if high else []
        )

    return TokenMixture(
        [reader(source) for source in range(len(weights))], weights, [100] * len(weights), **slices
    )


def tokens_by_source(mixture: TokenMixture, records: int) -> np.ndarray:
    tokens = np.zeros(3)
    for _ in range(records):
        source, _, documents = mixture.take()
        tokens[source] += sum(len(document) - 1 for document in documents)
    return tokens


@pytest.mark.parametrize(
    "weights", [(1.0, 1.0, 1.0), (1 / 3, 1 / 3, 1 / 3), (5.0, 1.0, 2.0), (0.01, 0.9, 0.09)]
)
def test_shares_are_of_tokens_not_of_records(weights):
    tokens = tokens_by_source(make_mixture(weights), 3000)
    shares = np.array(weights) / sum(weights)
    assert np.abs(tokens / tokens.sum() - shares).max() < 0.02
    assert np.abs(tokens - shares * tokens.sum()).max() <= max(high for _, high in LENGTHS), (
        "off by at most a document"
    )


def test_it_goes_on_from_its_counts():
    mixture, other = make_mixture((1.0, 2.0, 3.0)), make_mixture((1.0, 2.0, 3.0))
    tokens_by_source(mixture, 57)
    other.records, other.tokens = list(mixture.records), list(mixture.tokens)
    assert [mixture.take()[:2] for _ in range(40)] == [other.take()[:2] for _ in range(40)]


def test_records_are_read_in_order_and_slices_share_them():
    mixture = make_mixture((1.0, 1.0, 1.0), first=1, step=3)
    taken = [(source, index) for source, index, _ in (mixture.take() for _ in range(300))]
    for source in range(3):
        read = [index for place, index in taken if place == source]
        assert read == list(range(1, 1 + 3 * len(read), 3))


@pytest.mark.parametrize("lengths", [(0, 0), (1, 2)])
def test_a_source_without_targets_is_named_and_ends_the_search(lengths):
    with pytest.raises(UserError, match=r"sources\[1\]"):
        tokens_by_source(make_mixture((1.0, 1.0, 1.0), (LENGTHS[0], lengths, LENGTHS[2])), 10)
