"""Which queries a subset serves: similarities of samples to queries, summed up for people.

S (n, m) is the similarity of n samples to m queries, higher is closer (`core.influence`). A query
is *served* by a subset that holds at least one sample whose similarity to it reaches a level; the
level is a percentile of all pairs of the pool, so that it means the same whatever was compared.
Source of the pictures: targeted instruction selection, arXiv 2602.14696.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN

How = Literal["max", "mean"]
PAIRS = 2**22  # similarities that a percentile is taken from; more are thinned evenly
LISTED = 5  # samples at either end of a query's list


@dataclass(frozen=True)
class Coverage:
    """How near the samples of each of c clusters come to each of m queries.

    `value` (c, m): the highest or the mean similarity, NaN for a cluster without a sample.
    `row` (c, m): position of the cluster's nearest sample, -1 for none. `size` (c,): samples.
    """

    value: NDArray[np.float64]
    row: IntN
    size: IntN


def coverage(
    similarity: NDArray[Any], rows: IntN, cluster: IntN, clusters: int, how: How = "max"
) -> Coverage:
    """Sum up `similarity` (n, m) over the samples `rows` (e,) by their `cluster` (n,).

    Clusters count from 0; a sample of cluster -1, or whose similarity is not a number, is left
    out. Ties for the nearest: the earlier row. O(e m + e log e).
    """
    m = similarity.shape[1]
    out = Coverage(
        np.full((clusters, m), np.nan),
        np.full((clusters, m), -1, np.int64),
        np.zeros(clusters, np.int64),
    )
    rows = known(similarity, rows[cluster[rows] >= 0])
    if not len(rows):
        return out
    rows = rows[np.lexsort((rows, cluster[rows]))]
    found, of = similarity[rows], cluster[rows]
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    there, best = of[starts], np.maximum.reduceat(found, starts, axis=0)
    out.size[there] = np.diff(starts, append=len(rows))
    mean = np.add.reduceat(found, starts, axis=0, dtype=np.float64) / out.size[there][:, None]
    out.value[there] = best if how == "max" else mean
    at = np.zeros(clusters, np.int64)
    at[there] = np.arange(len(there))
    row, query = np.nonzero(found == best[at[of]])
    out.row[of[row[::-1]], query[::-1]] = rows[row[::-1]]  # backwards: the first row stays
    return out


def known(similarity: NDArray[Any], rows: IntN) -> IntN:
    """Those of `rows` whose similarities are all numbers."""
    return np.asarray(rows[np.isfinite(similarity[rows]).all(1)])


def nearest(similarity: NDArray[Any], rows: IntN) -> tuple[FloatN, IntN]:
    """Each query's nearest of `rows`: similarity (m,) and position (m,); NaN and -1 for none."""
    m, rows = similarity.shape[1], known(similarity, rows)
    if not len(rows):
        return np.full(m, np.nan), np.full(m, -1, np.int64)
    found = similarity[rows]
    at = found.argmax(0)
    return found[at, np.arange(m)].astype(np.float64), rows[at]


def level(similarity: NDArray[Any], percentile: float) -> float:
    """The similarity that this per cent of all pairs do not exceed; NaN without any pair.

    From at most `PAIRS` of them, every so-manieth sample.
    """
    found = similarity[:: max(1, -(-similarity.size // PAIRS))]
    found = found[np.isfinite(found)]
    return float(np.percentile(found, percentile)) if len(found) else float("nan")


def served(best: FloatN, at_least: float) -> MaskN:
    """(m,) True where the nearest kept sample (m,) reaches the level; a NaN serves nothing."""
    return np.nan_to_num(best, nan=-np.inf) >= at_least


def arranged(value: NDArray[np.float64]) -> tuple[IntN, IntN]:
    """An order of the rows and of the columns (c, m) that brings what belongs together together.

    Columns with the lowest best value first; rows with the highest mean first, those without a
    number last. Equal ones keep their order.
    """
    known = np.where(np.isnan(value), -np.inf, value)
    best = known.max(0, initial=-np.inf)
    count = np.maximum(np.isfinite(value).sum(1), 1)
    mean = np.where(np.isfinite(value).any(1), np.nansum(value, 1) / count, -np.inf)
    return np.argsort(-mean, kind="stable"), np.argsort(best, kind="stable")


def ends(similarity: FloatN, rows: IntN, most: int = LISTED) -> tuple[IntN, IntN]:
    """The nearest and the farthest of `rows` by one query's `similarity` (n,), none in both.

    The nearest first, and the farthest first; of few rows the nearest have the larger half.
    """
    rows = rows[np.isfinite(similarity[rows])]
    order = rows[np.lexsort((rows, -similarity[rows]))]
    best = min(most, -(-len(order) // 2))
    worst = min(most, len(order) - best)
    return order[:best], order[len(order) - worst :][::-1]


def jaccard(subsets: Sequence[IntN], n: int) -> NDArray[np.float64]:
    """Shared samples over all samples of each pair of subsets (s, s); 1 for two empty ones."""
    masks = np.zeros((len(subsets), n), bool)
    for mask, rows in zip(masks, subsets, strict=True):
        mask[rows] = True
    out = np.ones((len(subsets), len(subsets)))
    for i, one in enumerate(masks):
        for j in range(i):
            either = np.count_nonzero(one | masks[j])
            out[i, j] = np.count_nonzero(one & masks[j]) / either if either else 1.0
            out[j, i] = out[i, j]
    return out
