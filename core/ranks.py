"""Ranks: how two orders of the same samples agree."""

import numpy as np

from core.domain import FloatN, IntN


def spearman(a: FloatN, b: FloatN) -> tuple[float, int]:
    """Rank correlation of two columns (n,), -1..1, over the samples where both are numbers.

    Equal values share their mean rank. NaN where fewer than 3 samples count, or where one column
    never changes: there is nothing to correlate.

    Returns: the correlation, and how many samples it is of.
    """
    from scipy.stats import rankdata

    both = np.isfinite(a) & np.isfinite(b)
    n = int(both.sum())
    if n < 3:
        return float("nan"), n
    x, y = (rankdata(column[both]) - (n + 1) / 2 for column in (a, b))
    length = float(np.sqrt((x @ x) * (y @ y)))
    return (float(np.clip(x @ y / length, -1, 1)) if length else float("nan")), n


def places(value: FloatN) -> IntN:
    """(n,) place of each sample, best first from 0; n where it has no score. Ties: pool order."""
    order = np.argsort(-value, kind="stable")
    order = order[np.isfinite(value[order])]
    place = np.full(len(value), len(value), np.int64)
    place[order] = np.arange(len(order))
    return place
