"""What two subsets share, what differs, and what of it is noise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.comparison import label_gap, mean_gap, overlap, overlap_by_budget
from core.ranks import places, spearman


@given(st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_the_parts_of_an_overlap_add_up(n, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, n)) < 0.4
    found = overlap(a, b)
    sets = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    assert found.only_a == len(sets[0] - sets[1])
    assert found.only_b == len(sets[1] - sets[0])
    assert found.both == len(sets[0] & sets[1])
    if sets[0] | sets[1]:
        assert found.jaccard == len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_chance_is_the_mean_overlap_of_random_draws():
    rng = np.random.default_rng(0)
    n, a = 200, np.arange(200) < 40
    both = [len(set(rng.choice(n, 60, replace=False)) & set(range(40))) for _ in range(4000)]
    found = overlap(a, np.arange(n) >= 140)
    assert found.by_chance == 12
    assert np.isclose(np.mean(both), 12, atol=0.2)
    assert found.jaccard_by_chance == 12 / (40 + 60 - 12)


def dealt(a, b, rng):
    """A random deal: who is in a, in both, in b among those that either keeps."""
    rows = np.flatnonzero(a | b)
    mixed = rng.permutation(rows)
    x, y = np.zeros(len(a), bool), np.zeros(len(a), bool)
    x[rows], y[rows] = a[mixed], b[mixed]
    return x, y


@pytest.mark.parametrize(("size", "shared"), [(60, 0), (60, 30), (120, 60)])
def test_the_reach_of_a_gap_is_that_of_many_deals(size, shared):
    rng = np.random.default_rng(1)
    n = 400
    a, b = np.arange(n) < 60, (np.arange(n) >= 60 - shared) & (np.arange(n) < 60 - shared + size)
    label, column = rng.integers(0, 4, n), rng.normal(size=n)
    shares, means = label_gap(label, 4, a, b), mean_gap(column, a, b)
    deals = [dealt(a, b, rng) for _ in range(3000)]
    gaps = [label_gap(label, 4, x, y).difference for x, y in deals]
    bonferroni = -stats.norm.ppf(0.025 / 4)
    assert np.allclose(bonferroni * np.std(gaps, axis=0), shares.reach, rtol=0.07)
    assert np.allclose(np.mean(gaps, axis=0), 0, atol=0.01)
    gaps = [mean_gap(column, x, y).difference[0] for x, y in deals]
    assert np.isclose(1.96 * np.std(gaps), means.reach[0], rtol=0.07)


def test_random_subsets_hardly_ever_differ_clearly_and_shifted_ones_do():
    rng = np.random.default_rng(2)
    label = rng.integers(0, 6, 1000)
    draws = [np.isin(np.arange(1000), rng.choice(1000, 200, replace=False)) for _ in range(200)]
    false = [label_gap(label, 6, x, y).clear.any() for x, y in pairwise(draws)]
    assert np.mean(false) < 0.1
    shifted = label_gap(label, 6, draws[0] & (label != 2), draws[1])
    assert shifted.clear[2]
    assert mean_gap(label.astype(float), label > 3, label <= 3).clear[0]


def test_what_one_subset_adds_to_the_other_can_be_clear():
    a = np.arange(400) < 100
    found = label_gap((np.arange(400) >= 100).astype(int), 2, a, np.arange(400) < 200)
    assert found.clear.all()


@pytest.mark.parametrize("a", [np.zeros(9, bool), np.ones(9, bool)])
def test_where_there_is_nothing_to_tell_apart_nothing_is_clear(a):
    empty, label = np.zeros(9, bool), np.arange(9) % 3
    for b in (a, empty):
        assert not label_gap(label, 3, a, b).clear.any()
        assert not mean_gap(np.full(9, 0.1), a, b).clear.any()


@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([5, 20, 100]))
def test_the_overlap_at_each_budget_is_that_of_both_tops(n, seed, steps):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, (2, n)).astype(float)
    a[rng.random(n) < 0.2] = np.nan
    budget, alike, chance = overlap_by_budget(a, b, steps)
    tops = [sorted(np.flatnonzero(np.isfinite(x)), key=lambda i, x=x: (-x[i], i)) for x in (a, b)]
    for size, found, by_chance in zip(budget, alike, chance, strict=True):
        x, y = set(tops[0][:size]), set(tops[1][:size])
        assert np.isclose(found, len(x & y) / len(x | y), equal_nan=True)
        share = len(x) * len(y) / n
        assert np.isclose(by_chance, share / (len(x) + len(y) - share))
    assert budget[-1] == n


@given(st.integers(3, 60), st.integers(0, 2**32 - 1))
def test_rank_correlation_is_that_of_scipy_over_samples_with_both(n, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 12, (2, n)).astype(float)
    a[rng.random(n) < 0.3] = np.nan
    both = np.isfinite(a)
    rho, counted = spearman(a, b)
    assert counted == both.sum()
    if counted > 2 and np.ptp(a[both]) and np.ptp(b[both]):
        assert np.isclose(rho, stats.spearmanr(a[both], b[both]).statistic)
    else:
        assert np.isnan(rho)


def test_places_count_from_the_best_and_leave_out_what_has_no_score():
    assert places(np.array([1.0, np.nan, 3.0, 1.0])).tolist() == [1, 4, 0, 2]
