"""Loss curves in words, quartiles by cluster and equal filling, against slow obvious versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.curve_shapes import (
    EARLY,
    FORGOTTEN,
    KNOWN,
    LATE,
    NEVER,
    half_done,
    median_curve,
    ribbons,
    shapes,
    usual_change,
    water_level,
)
from core.policies import Candidates
from core.policies.budget import Budget
from core.policies.water_filling import WaterFilling


def curves(seed=0, n=200, t=5, groups=6):
    rng = np.random.default_rng(seed)
    trajectory = 3 + rng.normal(size=(n, t)).cumsum(1)
    group = rng.integers(-1, groups, n)
    trajectory[rng.random(n) < 0.05, 2] = np.nan
    return trajectory, group


@pytest.mark.parametrize("seed", range(3))
def test_ribbons_are_the_quartiles_of_each_group(seed):
    trajectory, group = curves(seed)
    found = ribbons(trajectory, group)
    whole = np.isfinite(trajectory).all(1)
    assert found.group.tolist() == sorted({int(g) for g in group[whole] if g >= 0})
    for k, name in enumerate(found.group):
        own = trajectory[whole & (group == name)]
        assert found.size[k] == len(own)
        for row, share in ((found.low, 25), (found.middle, 50), (found.high, 75)):
            np.testing.assert_allclose(row[k], np.percentile(own, share, axis=0))


def test_the_order_of_the_pool_changes_no_ribbon():
    trajectory, group = curves(4)
    order = np.random.default_rng(1).permutation(len(group))
    one, other = ribbons(trajectory, group), ribbons(trajectory[order], group[order])
    np.testing.assert_array_equal(one.middle, other.middle)
    np.testing.assert_array_equal(one.size, other.size)


def test_no_sample_with_a_group_gives_no_ribbon():
    found = ribbons(np.ones((4, 3)), np.full(4, -1))
    assert (len(found), found.middle.shape) == (0, (0, 3))


def test_the_pools_curve_is_the_ribbon_of_one_group_of_all():
    trajectory, group = curves(2)
    whole = ribbons(trajectory, np.where(group >= 0, 0, -1))
    np.testing.assert_array_equal(median_curve(trajectory, group), whole.middle[0])
    assert np.isnan(median_curve(trajectory, np.full(len(group), -1))).all()


def by_steps(curve, steps=20_000):
    """Walk along the curve and stop where half of the drop is done."""
    where = np.linspace(0, len(curve) - 1, steps + 1)
    values = np.interp(where, np.arange(len(curve)), curve)
    return where[np.argmax(values <= curve[0] - (curve[0] - curve[-1]) / 2)] / (len(curve) - 1)


@pytest.mark.parametrize("seed", range(4))
def test_half_of_the_drop_is_done_where_a_walk_along_the_curve_finds_it(seed):
    some = curves(seed, 40)[0]
    some = some[np.isfinite(some).all(1)]
    for curve, found in zip(some, half_done(some), strict=True):
        if curve[0] > curve[-1]:
            assert found == pytest.approx(by_steps(curve), abs=1e-3)
        else:
            assert np.isnan(found)


def test_each_shape_has_its_name():
    drawn = np.array(
        [
            [4.0, 2.0, 1.9, 1.8],  # at once
            [4.0, 3.9, 3.8, 1.8],  # at the end
            [4.0, 4.1, 3.9, 3.9],  # hardly at all
            [4.0, 2.0, 2.1, 3.9],  # and gone again
            [4.0, 4.5, 5.0, 6.0],  # never below its beginning
            [4.0, 4.0, 4.0, 4.0],
            [0.2, 0.1, 0.1, 0.1],  # hardly at all, from a low loss on
        ]
    )
    pool = np.array([4.0, 3.2, 2.5, 2.0])
    names = [EARLY, LATE, NEVER, FORGOTTEN, FORGOTTEN, NEVER, KNOWN]
    assert shapes(drawn, pool, 2.0) == names


def test_a_pool_that_learns_nothing_parts_early_from_late_at_half_of_the_training():
    drawn = np.array([[2.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 1.0]])
    assert shapes(drawn, np.full(4, 3.0), 0.0) == [EARLY, LATE]
    assert shapes(np.full((1, 4), 3.0), np.full(4, 2.0), 0.0) == [NEVER]


@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_units_and_level_of_the_loss_change_no_name(scale, shift):
    some = curves(5, 30)[0]
    some = some[np.isfinite(some).all(1)]
    pool, change = np.median(some, 0), usual_change(some)
    moved = shapes(some * scale + shift, pool * scale + shift, change * scale)
    same = [a == b for a, b in zip(moved, shapes(some, pool, change), strict=True)]
    assert np.mean(same) > 0.9  # a tie may fall to the other side by a last bit


def test_the_usual_change_counts_samples_with_losses_only():
    trajectory = np.array([[3.0, 1.0], [1.0, 2.0], [5.0, 2.0], [np.nan, 1.0]])
    assert usual_change(trajectory) == 2.0
    assert usual_change(np.full((2, 3), np.nan)) == 0.0


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 300))
def test_filling_to_the_level_takes_the_limit(sizes, limit):
    level = water_level(np.array(sizes), limit)
    if limit >= sum(sizes):
        assert level == np.inf
    else:
        assert np.minimum(sizes, level).sum() == pytest.approx(limit)


@pytest.mark.parametrize("limit", [3, 17, 60, 149, 190])
def test_the_policy_fills_to_the_level(limit):
    group = np.repeat(np.arange(6), [1, 9, 20, 30, 50, 80])
    n = len(group)
    scored = Candidates(np.zeros(n), np.ones(n), group, id_hash=np.arange(n))
    chosen = WaterFilling().choose(scored, Budget.parse(str(limit))).rows
    taken = np.bincount(group[chosen], minlength=6)
    size = np.bincount(group)
    assert np.abs(taken - np.minimum(size, water_level(size, limit))).max() < 1
