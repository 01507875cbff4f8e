"""How far a subset is from a query set, with d = 1 - similarity.

Two measures, both over subsets in their order of choice, so that one order answers for every
budget up to its length:

    nearest    mean over queries of the smallest d to a chosen sample: does every query have one?
    transport  the least mean d when every sample carries 1/b and every query receives 1/m (the
               Wasserstein distance W1): is the whole subset near, and every query's share alike?

Lower is nearer. The paper bounds the risk on the queries by the second; it need not fall as the
budget grows, for a larger subset reaches farther. Source: targeted instruction selection, arXiv
2602.14696.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.coverage import known
from core.domain import FloatN, IntN

Measure = Literal["transport", "nearest"]
SAMPLES, QUERIES = 1024, 128  # most of each that a transport is worked out between
FLOOR = 1 / 400  # last smoothing, in parts of the distances' range
STEPS = 12  # of Newton at each smoothing


def budgets(most: int, points: int = 14) -> IntN:
    """Budgets 1..most, evenly spread on a log scale, without repeats; empty for none."""
    if most < 1:
        return np.zeros(0, np.int64)
    return np.unique(np.geomspace(1, most, points).round().astype(np.int64))


def along(similarity: NDArray[Any], at: IntN, measure: Measure) -> FloatN:
    """Distance (t,) of the first `at` (t,) rows of `similarity` (b, m), in order of choice."""
    if measure == "nearest":
        best = np.maximum.accumulate(similarity, axis=0)[at - 1]
        return np.asarray(1 - best.mean(1, dtype=np.float64))
    out, price = np.empty(len(at)), None
    for k, size in enumerate(at.tolist()):
        found = transport(1 - np.asarray(thinned(similarity[:size]), np.float64), price)
        out[k], price = found.distance, found.price
    return out


def of_order(similarity: NDArray[Any], rows: IntN, measure: Measure) -> tuple[IntN, FloatN]:
    """Budgets (t,) and the distances (t,) of the first so many of `rows`, in order of choice.

    Rows of `similarity` (n, m) that are not numbers are left out.
    """
    rows = known(similarity, rows)
    at = budgets(len(rows))
    return at, along(similarity[rows], at, measure)


def thinned(similarity: NDArray[Any]) -> NDArray[Any]:
    """At most `SAMPLES` rows and `QUERIES` columns of (b, m), evenly taken."""
    rows, columns = (
        np.linspace(0, size - 1, min(size, most)).round().astype(np.int64)
        for size, most in zip(similarity.shape, (SAMPLES, QUERIES), strict=True)
    )
    return similarity[np.ix_(rows, columns)]


@dataclass(frozen=True)
class Transport:
    """W1, and what each query pays (m,): a start for the next, similar problem."""

    distance: float
    price: FloatN


def transport(distance: NDArray[np.float64], start: FloatN | None = None) -> Transport:
    """The Wasserstein distance of b samples of mass 1/b to m queries of mass 1/m.

    Maximises the dual, mean_q u_q + mean_j min_q (d_jq - u_q), in the m prices u: with its
    minimum smoothed, Newton's steps climb to the top, and the smoothing is lowered. The dual at
    the last prices is a lower bound of W1, less than log(m) / 400 of the distances' range below.
    """
    m = distance.shape[1]
    spread = float(np.ptp(distance))
    price = np.zeros(m) if start is None else start.copy()
    if spread > 0 and m > 1:
        levels = [0.1, 0.03, 0.01, FLOOR] if start is None else [0.01, FLOOR]
        for smoothing in levels:
            price = _climbed(distance, price, smoothing * spread)
    reached = float(price.mean() + (distance - price).min(1).mean())
    return Transport(reached, price - price.mean())


def _climbed(distance: NDArray[np.float64], price: FloatN, eps: float) -> FloatN:
    """Prices at the top of the smoothed dual, within a ten-thousandth of the mass."""
    m = len(price)
    value, share = _smoothed(distance, price, eps)
    for _ in range(STEPS):
        slope = 1 / m - share.mean(0)  # (m,) mass that a query still misses
        if np.abs(slope).max() < 1e-4 / m:
            break
        curve = (np.diag(share.mean(0)) - share.T @ share / len(share)) / eps
        step = np.linalg.solve(curve + (1e-3 / (m * eps)) * np.eye(m), slope)
        step *= min(1.0, 5 * eps / max(float(np.abs(step).max()), 1e-300))
        for _ in range(8):  # halved until it climbs
            higher, there = _smoothed(distance, price + step, eps)
            if higher >= value:
                break
            step /= 2
        if higher < value:
            break
        price, value, share = price + step, higher, there
    return price


def _smoothed(
    distance: NDArray[np.float64], price: FloatN, eps: float
) -> tuple[float, NDArray[np.float64]]:
    """The smoothed dual, and which part of each sample (b, m) goes to each query."""
    pull = (price - distance) / eps
    top = pull.max(1, keepdims=True)
    share = np.exp(pull - top)
    total = share.sum(1, keepdims=True)
    value = price.mean() - eps * float((top + np.log(total)).mean())
    return float(value), share / total


def band(
    similarity: NDArray[Any], orders: Sequence[IntN], at: IntN, measure: Measure
) -> tuple[FloatN, FloatN, FloatN]:
    """5th percentile, median and 95th (t,) of the distances of several orders, e.g. random ones."""
    each = [along(similarity[rows], at, measure) for rows in orders]
    low, middle, high = np.percentile(np.array(each), [5, 50, 95], axis=0)
    return low, middle, high
