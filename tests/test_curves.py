"""ROC curves and intervals against counting every pair, and against scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from core import curves
from core.curves import auc_by, auc_interval, gini, roc_auc, roc_band, roc_points, wilson


def cases(seed: int, n: int = 200, levels: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and outcomes that follow them a little."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, n) / levels
    return score, rng.random(n) < 0.2 + 0.6 * score


def by_pairs(score: np.ndarray, right: np.ndarray) -> float:
    """Every right one against every wrong one; a tie is half a win."""
    gap = score[right][:, None] - score[~right][None]
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30).filter(
        lambda rows: len({right for _, right in rows}) == 2
    )
)
def test_the_area_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    score = np.array([s for s, _ in rows], float)
    right = np.array([r for _, r in rows])
    assert roc_auc(score, right) == pytest.approx(by_pairs(score, right), abs=1e-12)
    assert roc_auc(-score, right) == pytest.approx(1 - roc_auc(score, right), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_area_and_curve_are_those_of_scikit_learn(seed: int) -> None:
    score, right = cases(seed)
    assert roc_auc(score, right) == pytest.approx(roc_auc_score(right, score), abs=1e-12)
    wanted = roc_curve(right, score, drop_intermediate=False)
    for found, column in zip(roc_points(score, right), wanted, strict=True):
        np.testing.assert_allclose(found, column, atol=1e-12)


def test_scores_that_differ_by_a_last_bit_are_different() -> None:
    score = np.array([1.6e-9, np.nextafter(1.6e-9, 1)])
    assert roc_auc(score, np.array([False, True])) == 1


def test_one_class_has_no_area() -> None:
    for right in (np.ones(4, bool), np.zeros(4, bool), np.zeros(0, bool)):
        score = np.arange(len(right)) / 7
        assert np.isnan(roc_auc(score, right))
        assert np.isnan(auc_interval(score, right, np.random.default_rng(0))).all()
        assert auc_by(["a"] * len(right), score, right, fewest=0) == {}


def test_gini_has_no_direction() -> None:
    assert [gini(x) for x in (0.5, 1.0, 0.0, 0.75)] == [0, 1, 1, 0.5]


def test_small_categories_and_those_of_one_class_are_left_out() -> None:
    score, right = cases(3, 60)
    right[:15] = True
    category = np.repeat(["one class", "whole", "small"], [15, 36, 9])
    found = auc_by(category, score, right)
    assert list(found) == ["whole"]
    rows = slice(15, 51)
    assert found["whole"] == roc_auc(score[rows], right[rows])
    assert list(auc_by(category, score, right, fewest=9)) == ["small", "whole"]


def test_the_interval_is_seeded_and_holds_the_area() -> None:
    score, right = cases(5)
    low, high = auc_interval(score, right, np.random.default_rng(1), 300)
    assert (low, high) == auc_interval(score, right, np.random.default_rng(1), 300)
    assert low < roc_auc(score, right) < high
    wide = auc_interval(score[:40], right[:40], np.random.default_rng(1), 300)
    assert wide[1] - wide[0] > high - low


def test_the_interval_is_that_of_drawing_the_rows_by_hand() -> None:
    score, right = cases(6, 80)
    rng = np.random.default_rng(2)
    draws = [rng.integers(0, 80, 80) for _ in range(50)]
    areas = [by_pairs(score[d], right[d]) for d in draws]
    found = auc_interval(score, right, np.random.default_rng(2), 50, level=0.9)
    np.testing.assert_allclose(found, np.quantile(areas, [0.05, 0.95]), atol=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 10), (812, 1000)])
def test_wilsons_interval_is_that_of_scipy(hits: int, n: int) -> None:
    wanted = stats.binomtest(hits, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(hits, n), [wanted.low, wanted.high], atol=1e-12)


def test_nothing_counted_says_nothing() -> None:
    assert wilson(0, 0) == (0, 1)


def test_the_band_is_that_of_drawing_right_and_wrong_ones_by_hand() -> None:
    score, right = cases(7, 80, levels=6)
    rates, draws = np.linspace(0, 1, 11), 40
    levels, level = np.unique(score, return_inverse=True)
    tally = [np.bincount(level[right == hit], minlength=len(levels)) for hit in (False, True)]
    chance = np.random.default_rng(3)
    drawn = [chance.multinomial(row.sum(), row / row.sum(), draws) for row in tally]
    heights, areas = [], []
    for wrong, hits in zip(*drawn, strict=True):
        values = np.r_[np.repeat(levels, wrong), np.repeat(levels, hits)]
        truth = np.repeat([False, True], [wrong.sum(), hits.sum()])
        x, y, _ = roc_curve(truth, values, drop_intermediate=False)
        top = [max(y[x == at]) if (x == at).any() else np.interp(at, x, y) for at in rates]
        heights.append(top)
        areas.append(by_pairs(values, truth))
    found = roc_band(score, right, np.random.default_rng(3), draws, 0.9, points=11)
    np.testing.assert_allclose(found.wrong_rate, rates)
    np.testing.assert_allclose(found.low, np.quantile(heights, 0.05, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.high, np.quantile(heights, 0.95, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.auc, np.quantile(areas, [0.05, 0.95]), atol=1e-12)


def test_the_interval_of_the_band_is_close_to_that_of_drawing_all_rows() -> None:
    score, right = cases(8, 400)
    band = roc_band(score, right, np.random.default_rng(0), 600).auc
    rows = auc_interval(score, right, np.random.default_rng(0), 600)
    np.testing.assert_allclose(band, rows, atol=0.015)
    assert band[0] < roc_auc(score, right) < band[1]


def test_bins_of_many_scores_move_the_band_by_next_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(4)
    score = chance.normal(size=5000)
    right = chance.normal(size=5000) < score
    exact = roc_band(score, right, np.random.default_rng(1), 200)
    monkeypatch.setattr(curves, "LEVELS", 500)
    binned = roc_band(score, right, np.random.default_rng(1), 200)
    np.testing.assert_allclose(binned.auc, exact.auc, atol=0.004)
    np.testing.assert_allclose(binned.low, exact.low, atol=0.02)


def test_one_class_has_no_band() -> None:
    found = roc_band(np.arange(5.0), np.ones(5, bool), np.random.default_rng(0))
    assert np.isnan(found.low).all()
    assert np.isnan(found.auc).all()
