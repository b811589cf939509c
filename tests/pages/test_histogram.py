import numpy as np
import pytest

from spirit_jax.pages.histogram import Histogram, draw_histogram


def test_histograms_add_up_whatever_the_order():
    values = np.random.default_rng(0).normal(0.5, 0.2, 1000)
    parts = [Histogram.of(part, 0.0, 1.0) for part in np.array_split(values, 7)]
    whole, added = Histogram.of(values, 0.0, 1.0), Histogram.of([], 0.0, 1.0)
    for part in reversed(parts):
        added += part
    np.testing.assert_array_equal(added.counts, whole.counts)
    assert added.count == 1000


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99, 1.0])
def test_quantiles_are_right_to_a_bin(share):
    values = np.random.default_rng(1).uniform(0.2, 0.9, 5000)
    found = Histogram.of(values, 0.0, 1.0).quantile(share)
    assert found == pytest.approx(np.quantile(values, share), abs=0.004)


def test_values_outside_are_in_the_outermost_bins():
    histogram = Histogram.of([-5.0, 0.5, 7.0, 1.0], 0.0, 1.0)
    assert (histogram.counts[0], histogram.counts[-1], histogram.count) == (1, 2, 4)


def test_the_spread_is_never_zero():
    assert Histogram.of([0.5] * 10, 0.0, 1.0).spread > 0
    assert Histogram.of([], 0.0, 1.0).spread > 0


def test_limits_are_dashed_and_what_is_beyond_is_grey():
    histogram = Histogram.of(np.linspace(0.1, 0.9, 200), 0.0, 1.0)
    free, limited = draw_histogram(histogram, "a"), draw_histogram(histogram, "a", least=0.3, most=0.8)
    assert limited.count("stroke-dasharray") - free.count("stroke-dasharray") == 2
    grey = 'style="fill: var(--muted)"'
    assert grey not in free
    assert limited.count(grey) > 10
    assert draw_histogram(Histogram.of([], 0.0, 1.0), "empty").startswith("<svg ")
