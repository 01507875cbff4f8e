"""A random draw of the same size and lengths as a subset."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.matched import generator, matched


@st.composite
def pools(draw):
    n = draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = rng.integers(1, draw(st.integers(2, 60)), n).astype(float)
    length[rng.random(n) < draw(st.sampled_from([0.0, 0.2, 1.0]))] = np.nan
    kept = rng.random(n) < draw(st.floats(0, 1))
    return length, kept, rng


@given(pools())
def test_a_draw_has_the_size_and_the_bins_of_the_subset(pool):
    length, kept, rng = pool
    found = matched(length, kept)
    rows = found.draw(rng)
    assert len(rows) == len(set(rows.tolist())) == kept.sum()
    bins = np.bincount(found.bin[rows], minlength=len(found.size))
    assert bins.tolist() == np.bincount(found.bin[kept], minlength=len(found.size)).tolist()
    assert np.isnan(length[rows]).sum() == np.isnan(length[kept]).sum()


@given(pools())
def test_no_draw_is_longer_or_shorter_than_all_that_is_kept(pool):
    length, kept, rng = pool
    rows = matched(length, kept).draw(rng)
    mine = length[kept & np.isfinite(length)]
    theirs = length[rows][np.isfinite(length[rows])]
    if len(mine):
        assert mine.min() <= theirs.min()
        assert theirs.max() <= mine.max()


def test_the_same_seed_is_the_same_draw_and_another_seed_is_another():
    length = np.arange(400.0) % 50
    found = matched(length, np.arange(400) < 60)
    first, again, other = (found.draw(np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_a_pool_that_was_labelled_by_the_same_seed_is_still_drawn_at_random():
    label = (np.random.default_rng(0).random(20_000) * 5).astype(int)
    found = matched(np.ones(20_000), np.arange(20_000) < 2000)
    shares = np.bincount(label[found.draw(generator(0))], minlength=5) / 2000
    assert np.allclose(shares, 0.2, atol=0.05)


def test_lengths_of_a_draw_follow_the_subset_and_not_the_pool():
    rng = np.random.default_rng(0)
    length = rng.lognormal(5, 1, 20_000)
    kept = rng.random(20_000) < np.clip(length / length.max() * 5, 0, 1)
    drawn = length[matched(length, kept).draw(rng)]
    deciles = np.linspace(0.1, 0.9, 9)
    assert np.allclose(np.quantile(drawn, deciles), np.quantile(length[kept], deciles), rtol=0.05)
    assert np.median(length) < 0.7 * np.median(drawn)


@given(pools())
def test_chances_add_up_to_the_size_of_the_subset(pool):
    length, kept, _ = pool
    chance = matched(length, kept).chance
    assert np.isclose(chance.sum(), kept.sum())
    assert chance.min() >= 0
    assert chance.max() <= 1


def test_expected_counts_are_those_of_many_draws():
    rng = np.random.default_rng(3)
    length, label = rng.integers(1, 30, 300).astype(float), rng.integers(-1, 3, 300)
    kept = rng.random(300) < length / 60
    found = matched(length, kept)
    mean, sd = found.expected(label, 3)
    rows = [label[found.draw(rng)] for _ in range(4000)]
    counts = np.array([np.bincount(r[r >= 0], minlength=3) for r in rows])
    assert np.allclose(counts.mean(0), mean, atol=0.15)
    assert np.allclose(counts.std(0), sd, rtol=0.05)
    shared = np.mean([kept[found.draw(rng)].mean() for _ in range(2000)])
    assert np.isclose(shared, found.shared, atol=0.01)


def test_a_subset_that_takes_all_of_its_lengths_leaves_no_freedom():
    length = np.arange(100.0)
    found = matched(length, length >= 90)
    assert found.shared == 1.0
    assert found.draw(np.random.default_rng(0)).tolist() == list(range(90, 100))
    assert matched(length, length < 0).shared == 0.0


@pytest.mark.parametrize("lacking", [0.0, 0.3])
def test_the_expected_mean_of_a_column_is_that_of_many_draws(lacking):
    rng = np.random.default_rng(4)
    length = rng.integers(1, 30, 300).astype(float)
    column = length + rng.normal(0, 5, 300)
    column[rng.random(300) < lacking] = np.nan
    found = matched(length, rng.random(300) < length / 60)
    means = [np.nanmean(column[found.draw(rng)]) for _ in range(4000)]
    mean, sd = found.mean(column)
    assert np.isclose(np.mean(means), mean, atol=0.02)
    assert np.isclose(np.std(means), sd, rtol=0.06)
    assert np.isnan(found.mean(np.full(300, np.nan))).all()
    assert np.isnan(matched(length, length < 0).mean(length)).all()
