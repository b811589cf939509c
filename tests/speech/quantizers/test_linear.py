import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.speech.quantizers.linear import (
    KmeansQuantizer,
    LinearQuantizer,
    fill_blanks,
    linear_widths,
    load_quantizer,
)

BLANK = 3
codes = st.lists(st.integers(0, BLANK), max_size=12).map(lambda values: np.array(values, np.int32))


def fill_by_neighbours(codes_T: np.ndarray, blank: int) -> np.ndarray:
    """As the spec has it: each blank takes its left neighbour's code, the first one the last one's, until
    none is left.
    """
    while (codes_T == blank).any() and (codes_T != blank).any():
        codes_T = np.where(codes_T == blank, np.roll(codes_T, 1), codes_T)
    return codes_T


def make_quantizer(width: int = 6, units: int = 4, seed: int = 3) -> LinearQuantizer:
    rng = np.random.default_rng(seed)
    widths = linear_widths(units, width, 10)
    return LinearQuantizer(
        [(rng.normal(size=(i, o)), rng.normal(size=o)) for i, o in zip(widths, widths[1:])]
    )


@given(codes)
def test_blanks_are_filled_from_the_left(codes_T):
    assert np.array_equal(fill_blanks(codes_T, BLANK), fill_by_neighbours(codes_T, BLANK))


def test_nothing_but_blanks_stays():
    assert fill_blanks(np.full(4, BLANK), BLANK).tolist() == [BLANK] * 4


def test_widths_of_the_published_quantizer():
    assert linear_widths(500, 768, 768) == [768, 702, 635, 501]
    assert linear_widths(500, 64, 64) == [64, 174, 283, 501]


def test_utterances_stay_apart():
    quantizer, rng = make_quantizer(), np.random.default_rng(1)
    features = [rng.normal(size=(count, 6)).astype(np.float32) for count in (300, 0, 5, 7, 1)]
    together = quantizer.quantize(features)
    assert [len(units_T) for units_T in together] == [300, 0, 5, 7, 1]
    for units_T, x_TD in zip(together, features):
        assert np.array_equal(units_T, quantizer.quantize([x_TD])[0])
    classes = np.argmax(quantizer(features[0]), axis=-1)
    assert (classes == quantizer.unit_count - 1).any(), "no blank drawn: choose another seed"
    assert np.array_equal(together[0], fill_blanks(classes, quantizer.unit_count - 1))
    assert quantizer.quantize([]) == []


def test_kmeans_takes_the_nearest():
    quantizer = KmeansQuantizer(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], np.float32))
    units = quantizer.quantize(
        [np.array([[1.0, 0.5], [3.0, 1.0], [0.1, 9.0]], np.float32), np.zeros((0, 2), np.float32)]
    )
    assert [row.tolist() for row in units] == [[0, 1, 2], []]
    assert (quantizer.unit_count, quantizer.width) == (3, 2)
    assert (make_quantizer().unit_count, make_quantizer().width) == (5, 6)


def test_a_key_that_nothing_reads_stops_it(tmp_path):
    torch = pytest.importorskip("torch", reason="needs requirements-parity.txt")
    sizes, widths = {"vocab_size": 4, "dim": 6, "upstream_dim": 10}, linear_widths(4, 6, 10)
    weights = {}
    for name, inputs, outputs in zip((0, 2, 4), widths, widths[1:]):
        weights |= {f"{name}.weight": torch.ones(outputs, inputs), f"{name}.bias": torch.zeros(outputs)}
    torch.save({"model_cfg": sizes, "model_weight": weights}, tmp_path / "known.pt")
    assert load_quantizer(tmp_path / "known.pt").unit_count == 5
    torch.save({"model_cfg": sizes | {"slope": 0.2}, "model_weight": weights}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="model_cfg slope = 0.2: is a key that is neither read"):
        load_quantizer(tmp_path / "other.pt")
    torch.save({"cluster_centers": torch.ones(3, 2), "n_clusters": 3, "unit_norm": True}, tmp_path / "k.pt")
    with pytest.raises(UserError, match=r"k\.pt unit_norm = True: is a key that is neither read"):
        load_quantizer(tmp_path / "k.pt")
