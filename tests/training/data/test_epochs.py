from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.training.data import epochs
from spirit_jax.training.data.epochs import EpochReader
from tests.training.tiny import make_record, make_records, make_source


def test_every_record_once_an_epoch_in_another_order():
    reader = EpochReader(make_source("text", make_records(30), Arrangement.TEXT), (0, 0))
    orders = [[reader.shuffled(epoch, index) for index in range(30)] for epoch in range(3)]
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_spans_are_drawn_again_each_epoch_and_depend_on_seed_epoch_and_record_only():
    source = make_source("interleaved", [make_record(0, 40), make_record(1, 40)])

    def drawn(epoch: int, seed: int = 0) -> set[tuple]:
        reader = EpochReader(source, (seed, 0))
        fetched = reader.fetch(range(2 * epoch, 2 * epoch + 2))
        return {tuple(reader.arrange(one)[0].tolist()) for one in fetched}

    assert drawn(0) == drawn(0)
    assert not drawn(0) & drawn(1)
    assert not drawn(0) & drawn(0, seed=1)
    alone = EpochReader(make_source("other rows", [make_record(0, 40), make_record(9, 40)]), (0, 0))
    assert {tuple(alone.arrange(one)[0].tolist()) for one in alone.fetch(range(2))} & drawn(0), (
        "record 0 is drawn alike with another record"
    )


def test_large_sources_are_permuted_too(monkeypatch):
    monkeypatch.setattr(epochs, "PERMUTE_BELOW", 0)
    reader = EpochReader(make_source("text", [None] * 41, Arrangement.TEXT), (0, 0))
    orders = [[reader.shuffled(epoch, index) for index in range(41)] for epoch in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(41))
    assert orders[0] != orders[1]
