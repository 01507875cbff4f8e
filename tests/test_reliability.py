"""What a model says of itself against what is true, against slow obvious versions."""

import numpy as np
import pytest
from scipy import stats

from core.reliability import band_facts, chosen_probability, expected_error, reliability, telling


def answers(seed=0, n=400):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    p[:3] = 0.0, 0.3, 1.0  # edges of bins
    right = rng.random(n) < p**2
    p[5] = np.nan
    return p, right


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_each_bin_counts_its_own_answers(bins):
    p, right = answers()
    found = reliability(p, right, bins)
    k = 0
    for b in range(bins):
        last = b == bins - 1
        own = (p >= b / bins) & ((p <= 1.0) if last else (p < (b + 1) / bins))
        if not own.any():
            continue
        assert (found.first[k], found.last[k]) == (b / bins, (b + 1) / bins)
        assert found.n[k] == own.sum()
        assert found.said[k] == pytest.approx(p[own].mean())
        assert found.right[k] == pytest.approx(right[own].mean())
        wanted = stats.binomtest(int(right[own].sum()), int(own.sum())).proportion_ci(
            method="wilson"
        )
        assert (found.low[k], found.high[k]) == pytest.approx((wanted.low, wanted.high))
        k += 1
    assert k == len(found.n)
    assert found.n.sum() == np.isfinite(p).sum()


def test_empty_bins_are_left_out():
    found = reliability(np.array([0.05, 0.95]), np.array([False, True]))
    assert found.first.tolist() == [0.0, 0.9]


def test_the_error_is_the_mean_gap_by_answers():
    p = np.array([0.9, 0.9, 0.9, 0.2])
    right = np.array([True, False, False, False])
    assert expected_error(reliability(p, right)) == pytest.approx((3 * (0.9 - 1 / 3) + 0.2) / 4)
    assert expected_error(reliability(np.array([1.0, 0.0]), np.array([True, False]))) == 0.0
    assert np.isnan(expected_error(reliability(np.array([]), np.array([], bool))))


def test_the_chosen_option_has_its_probability():
    log_p = np.log(np.array([[0.2, 0.3, 0.1], [0.5, 0.1, np.nan], [0.1, 0.1, 0.1]]))
    chosen = np.array([1.0, 0.0, -1.0])
    plain = chosen_probability(log_p, chosen, "vocabulary")
    assert plain[:2] == pytest.approx([0.3, 0.5])
    assert chosen_probability(log_p, chosen, "options")[:2] == pytest.approx([0.5, 5 / 6])
    assert np.isnan(plain[2])
    nothing = chosen_probability(log_p, np.array([np.nan, np.nan, 3.0]), "options")
    assert np.isnan(nothing).all()


def test_an_option_that_no_token_says_has_no_probability():
    log_p = np.array([[-np.inf, np.log(0.5)]])
    assert chosen_probability(log_p, np.array([0]), "options")[0] == 0.0


def test_facts_of_bands_are_those_of_counting_by_hand():
    rng = np.random.default_rng(3)
    n = 90
    band, score = rng.integers(-1, 3, n), rng.random(n)
    tokens, right = rng.integers(1, 40, n).astype(float), rng.integers(0, 2, n).astype(float)
    right[::7] = np.nan
    tokens[1] = np.nan
    found = band_facts(score, band, tokens, right)
    assert found.band.tolist() == [0, 1, 2]
    for k in range(3):
        own = band == k
        assert (found.low[k], found.high[k]) == (score[own].min(), score[own].max())
        assert found.n[k] == own.sum()
        assert found.tokens[k] == np.nansum(tokens[own])
        assert found.asked[k] == np.isfinite(right[own]).sum()
        assert found.right[k] == np.nansum(right[own])


def test_no_band_has_no_facts():
    found = band_facts(np.ones(3), np.full(3, -1), np.ones(3), np.ones(3))
    assert len(found.band) == 0


def test_each_bin_tells_of_its_surest_wrong_answer_or_of_its_surest_one():
    p = np.array([0.11, 0.19, 0.15, np.nan, 0.95, 1.0, 0.55])
    right = np.array([False, True, False, False, True, True, True])
    found = reliability(p, right)
    assert telling(p, right, found).tolist() == [2, 6, 5]
    assert telling(p[3:4], right[3:4], reliability(p[3:4], right[3:4])).tolist() == []
