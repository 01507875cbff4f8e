"""What chance gives, against thousands of draws."""

import numpy as np
import pytest

from core import chance
from core.matched import matched


@pytest.fixture
def world():
    rng = np.random.default_rng(3)
    n = 400
    length = np.round(np.exp(rng.normal(4, 0.7, n)))
    source = rng.integers(0, 4, n)
    score = rng.normal(size=n) + 0.01 * length
    kept = np.zeros(n, bool)
    kept[np.argsort(-score)[:60]] = True
    return length, source, score, kept


def drawn(draws, times=3000):
    rng = np.random.default_rng(5)
    return [draws.draw(rng) for _ in range(times)]


def test_shares_lie_where_draws_lie(world):
    length, source, _, kept = world
    draws = matched(length, kept)
    bands = chance.shares(draws, source, 4, kept)
    found = np.array([np.bincount(source[rows], minlength=4) / 60 for rows in drawn(draws)])
    for label, band in enumerate(bands):
        assert band.kept == np.mean(source[kept] == label)
        assert band.expected == pytest.approx(found[:, label].mean(), abs=0.004)
        inside = (found[:, label] >= band.low) & (found[:, label] <= band.high)
        assert 0.9 < inside.mean() < 0.99


def test_means_lie_where_draws_lie(world):
    length, _, score, kept = world
    draws = matched(length, kept)
    band = chance.mean(draws, score, kept)
    found = np.array([score[rows].mean() for rows in drawn(draws)])
    assert band.kept == pytest.approx(score[kept].mean())
    assert band.expected == pytest.approx(found.mean(), abs=0.01)
    assert 0.93 < ((found >= band.low) & (found <= band.high)).mean() < 0.97
    assert band.beyond


def test_a_mean_counts_only_samples_with_a_number(world):
    length, _, score, kept = world
    holes = score.copy()
    holes[::3] = np.nan
    band = chance.mean(matched(length, kept), holes, kept)
    assert band.kept == pytest.approx(np.nanmean(holes[kept]))
    assert chance.mean(matched(length, kept), np.full(400, np.nan), kept) is None


def test_everything_kept_leaves_nothing_to_chance(world):
    length, source, score, _ = world
    whole = np.ones(400, bool)
    draws = matched(length, whole)
    assert all(b.low == pytest.approx(b.high) for b in chance.shares(draws, source, 4, whole))
    band = chance.mean(draws, score, whole)
    assert (band.low, band.high) == pytest.approx((score.mean(), score.mean()))


def test_the_strangest_share_is_the_farthest_outside_or_none():
    inside, above, below = (chance.Band(k, 0.2, 0.1, 0.3) for k in (0.2, 0.35, 0.0))
    assert chance.strangest(["a", "b", "c"], [inside, above, below]) == ("c", below)
    assert chance.strangest(["a", "b"], [inside, above]) == ("b", above)
    assert chance.strangest(["a"], [inside]) is None
    assert chance.strangest([], []) is None
