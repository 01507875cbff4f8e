"""Counts in bins against those of numpy and of a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.histograms import density, equal_edges, fitting, histogram, quarters


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(np.nan) | st.just(np.inf), min_size=1, max_size=60),
    st.integers(0, 20),
)
def test_each_sample_with_a_number_is_in_one_bin(values, bins):
    value = np.array(values)
    kept = np.arange(len(value)) % 3 == 0
    found = histogram(value, kept, bins)
    finite = np.isfinite(value)
    if not finite.any():
        assert found is None
        return
    np.testing.assert_array_equal(found.samples, np.histogram(value[finite], found.edges)[0])
    np.testing.assert_array_equal(found.kept, np.histogram(value[finite & kept], found.edges)[0])
    assert found.samples.sum() == finite.sum()
    for k, row in enumerate(found.first):
        last = k == len(found.first) - 1
        inside = [
            i
            for i in np.flatnonzero(finite)
            if found.edges[k] <= value[i] and (value[i] < found.edges[k + 1] or last)
        ]
        assert row == (inside[0] if inside else -1)


def test_a_constant_column_has_one_bin_around_it():
    found = histogram(np.full(7, 3.0), np.zeros(7, bool))
    assert found.edges.tolist() == [2.5, 3.5]
    assert found.samples.tolist() == [7]
    assert found.middle.tolist() == [3.0]


def test_values_that_differ_by_a_last_bit_have_as_many_bins_as_there_are_numbers():
    low = 1.0
    assert equal_edges(low, np.nextafter(low, 2), 48).tolist() == [low, np.nextafter(low, 2)]


def test_two_parts_over_the_same_edges_add_up():
    value = np.random.default_rng(0).normal(size=500)
    part, kept = value > 0.3, np.zeros(500, bool)
    whole = histogram(value, kept)
    one, other = (
        histogram(np.where(mask, value, np.nan), kept, edges=whole.edges) for mask in (part, ~part)
    )
    np.testing.assert_array_equal(one.samples + other.samples, whole.samples)


@pytest.mark.parametrize("bins", [1, 7, 40])
def test_the_plane_is_counted_as_numpy_counts_it(bins):
    x, y = np.random.default_rng(1).random((2, 400)) * 3 - 1
    edges = np.linspace(-1, 2, bins + 1)
    wanted = np.histogram2d(x, y, [edges, edges])[0].T
    np.testing.assert_array_equal(density(x, y, edges), wanted)


def test_points_outside_count_at_the_rim():
    edges = np.linspace(0, 1, 3)
    found = density(np.array([-5.0, 9.0]), np.array([0.1, 9.0]), edges)
    assert found.tolist() == [[1, 0], [0, 1]]


def test_few_values_have_few_bins_and_many_have_no_more_than_can_be_seen():
    assert [fitting(n) for n in (1, 32, 160, 10**6)] == [12, 12, 25, 48]


def test_quarters_are_shares_that_add_up():
    x, y = np.array([0.0, 1.0, 2.0, 3.0, 1.0]), np.array([0.0, 5.0, 0.0, 5.0, 1.0])
    assert quarters(x, y, (1.0, 1.0)).tolist() == [[0.2, 0.2], [0.0, 0.6]]
    assert quarters(x[:0], y[:0], (1.0, 1.0)).sum() == 0
