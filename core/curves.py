"""How well a number tells right answers from wrong ones: ROC curves and intervals, as arrays.

`score` (n,): higher should mean "right". `right` (n,): was it. Only the order of the scores
matters, and equal scores count half, as mid ranks do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN

FEWEST = 10  # samples of a category below which its curve is not drawn
LEVELS = 2000  # different scores that a bootstrap tells apart; more are put into as many bins


@dataclass(frozen=True)
class RocBand:
    """A ROC curve at some false positive rates (g,), with what a bootstrap says of it."""

    wrong_rate: FloatN  # false positives
    low: FloatN  # true positives, lower end
    high: FloatN  # upper end
    auc: tuple[float, float]  # interval of the area


def roc_auc(score: FloatN, right: MaskN) -> float:
    """Area under the ROC curve: how often a right one scores above a wrong one.

    NaN where all are right or all are wrong.
    """
    level, n_levels = _levels(score)
    return _area(level, np.asarray(right, bool), n_levels)


def gini(auc: float) -> float:
    """|2 AUC - 1|: 0 for no relation, 1 for a perfect one in either direction."""
    return abs(2 * auc - 1)


def roc_points(score: FloatN, right: MaskN) -> tuple[FloatN, FloatN, FloatN]:
    """False positive rate, true positive rate and threshold, each (t + 1,) for t different
    scores, from (0, 0) at infinity to (1, 1) at the lowest score; NaN rates for one class.
    """
    right = np.asarray(right, bool)
    level, n_levels = _levels(score)
    taken = np.cumsum(_tally(level, right, n_levels)[:, ::-1], axis=1)  # from the highest down
    with np.errstate(invalid="ignore"):
        wrong_rate, right_rate = taken / taken[:, -1:]
    threshold = np.unique(np.asarray(score, np.float64))[::-1]
    return np.r_[0.0, wrong_rate], np.r_[0.0, right_rate], np.r_[np.inf, threshold]


def auc_by(
    category: Sequence[Any] | NDArray[Any], score: FloatN, right: MaskN, fewest: int = FEWEST
) -> dict[str, float]:
    """Area of each category by name, those of fewer than `fewest` or of one class left out."""
    names, row = np.unique(np.asarray(category, np.str_), return_inverse=True)
    areas = {
        str(name): roc_auc(score[row == k], right[row == k])
        for k, name in enumerate(names)
        if (row == k).sum() >= fewest
    }
    return {name: area for name, area in areas.items() if not np.isnan(area)}


def auc_interval(
    score: FloatN,
    right: MaskN,
    chance: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the area; NaN where there is no area.

    Draws with one class only have no area and are left out.
    """
    right = np.asarray(right, bool)
    group, n_levels = _levels(score)
    n = len(right)
    areas = []
    for _ in range(draws if 0 < right.sum() < n else 0):
        rows = chance.integers(0, n, n)
        areas.append(_area(group[rows], right[rows], n_levels))
    if not areas or np.isnan(areas).all():
        return np.nan, np.nan
    low, high = np.nanquantile(areas, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def roc_band(
    score: FloatN,
    right: MaskN,
    chance: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
    points: int = 101,
) -> RocBand:
    """Percentile bootstrap of the curve, right and wrong ones drawn apart; NaN for one class.

    What is drawn is how many stand at each level of the score, so the cost does not grow with n.
    More than `LEVELS` different scores become as many bins of equally many, which moves the area
    by less than 1 / LEVELS.
    """
    right = np.asarray(right, bool)
    group, n_levels = _levels(score)
    if n_levels > LEVELS:
        rank = np.cumsum(np.bincount(group)) - 1
        group, n_levels = rank[group] * LEVELS // len(group), LEVELS
    rates = np.linspace(0.0, 1.0, points)
    tally = _tally(group, right, n_levels)
    if not tally.sum(1).all():
        nothing = np.full(points, np.nan)
        return RocBand(rates, nothing, nothing, (np.nan, np.nan))
    wrong, hits = (
        chance.multinomial(int(row.sum()), row / row.sum(), draws)[:, ::-1].cumsum(1) / row.sum()
        for row in tally
    )  # rates (draws, levels), from the highest score down
    wrong, hits = (np.hstack([np.zeros((draws, 1)), rate]) for rate in (wrong, hits))
    curves = np.array([_at(rates, x, y) for x, y in zip(wrong, hits, strict=True)])
    areas = (np.diff(wrong) * (hits[:, 1:] + hits[:, :-1]) / 2).sum(1)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(curves, ends, axis=0)
    area = np.quantile(areas, ends)
    return RocBand(rates, low, high, (float(area[0]), float(area[1])))


def wilson(hits: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's interval of a share, by default at 95 %; (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _levels(score: FloatN) -> tuple[IntN, int]:
    """Which of the different scores each one is, lowest first, and how many there are."""
    values, level = np.unique(np.asarray(score, np.float64), return_inverse=True)
    return level.astype(np.int64), len(values)


def _tally(level: IntN, right: MaskN, n_levels: int) -> FloatN:
    """Wrong and right ones at each level, (2, t)."""
    wrong = np.bincount(level[~right], minlength=n_levels)
    return np.array([wrong, np.bincount(level[right], minlength=n_levels)], np.float64)


def _area(level: IntN, right: MaskN, n_levels: int) -> float:
    """Each right one beats the wrong ones below its level and half of those at it."""
    wrong, hits = _tally(level, right, n_levels)
    pairs = wrong.sum() * hits.sum()
    return float(hits @ (np.cumsum(wrong) - wrong / 2) / pairs) if pairs else np.nan


def _at(rates: FloatN, x: FloatN, y: FloatN) -> FloatN:
    """A curve of rising steps at some rates: its highest point there, or the line between two."""
    after = np.searchsorted(x, rates, side="right")
    before, after = after - 1, np.minimum(after, len(x) - 1)
    width = x[after] - x[before]
    part = np.divide(rates - x[before], width, out=np.zeros_like(rates), where=width > 0)
    return y[before] + part * (y[after] - y[before])
