"""Neighbours of more rows than can all be compared with each other: sought among those nearby.

Each row goes to the nearest of about sqrt(n) drawn rows and is compared with those that went there
too, in `PASSES` draws. That costs n sqrt(n) products instead of n n. What lies behind a border in
every draw is missed: a few of the ten nearest, hardly ever one that is nearly equal.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN
from core.neighbours import Links, nearest, thinned

VERSION = 2  # raise it when the same rows get other neighbours
PASSES = 3
MOST = 4096  # rows of a cell that are compared; a larger one is cut, so that copies stay linear
SHARED = 1  # rows of a cut that the next one has too, so that copies are linked from end to end
CHUNK = 65_536  # rows at a time, of what needs room for each

Neighbours = tuple[NDArray[np.int32], NDArray[np.float32]]


def nearby(vectors: NDArray[np.float32], k: int, seed: int) -> Neighbours:
    """About the k rows of the highest cosine to each row (n, d), itself left out.

    Returns: as `core.neighbours.nearest`; the cosines are exact, a neighbour may be missing.
    """
    n = len(vectors)
    chance = np.random.default_rng(seed)
    best = np.full((n, k), -1, np.int32), np.full((n, k), np.nan, np.float32)
    for _ in range(PASSES):
        centres = np.sort(chance.choice(n, max(1, round(n**0.5)), replace=False))
        for rows in _cells(vectors, centres):
            near, cosine = nearest(vectors[rows], k)
            found = np.where(near >= 0, rows[near], -1).astype(np.int32), cosine
            best[0][rows], best[1][rows] = _nearer((best[0][rows], best[1][rows]), found)
    return best


def _cells(vectors: NDArray[np.float32], centres: IntN) -> Iterator[IntN]:
    """The rows of each cell, in order, at most `MOST` at a time."""
    among = vectors[centres]
    starts = range(0, len(vectors), CHUNK)
    cell = np.concatenate([nearest(vectors[k : k + CHUNK], 1, among)[0][:, 0] for k in starts])
    order = np.argsort(cell, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(cell[order])) + 1):
        for start in range(0, max(1, len(rows) - SHARED), MOST - SHARED):
            yield rows[start : start + MOST]


def _nearer(one: Neighbours, other: Neighbours) -> Neighbours:
    """The nearest of both, (b, k) each; what stands in both counts once."""
    k = one[0].shape[1]
    both: NDArray[np.int32] = np.hstack([one[0], other[0]])
    away: NDArray[np.float32] = np.hstack([one[1], other[1]])
    away = -np.nan_to_num(away, nan=-np.inf)
    order = np.lexsort((both, away), axis=1)
    both, away = np.take_along_axis(both, order, axis=1), np.take_along_axis(away, order, axis=1)
    away[:, 1:][both[:, 1:] == both[:, :-1]] = np.inf
    order = np.argsort(away, axis=1, kind="stable")[:, :k]
    both, away = np.take_along_axis(both, order, axis=1), np.take_along_axis(away, order, axis=1)
    none = np.isinf(away)
    return np.where(none, np.int32(-1), both), np.where(none, np.float32(np.nan), -away)


def links_of(found: Neighbours, floor: float) -> Links:
    """Links between rows of which one is among the other's neighbours; see `Links`."""
    near, cosine = found
    n, k = near.shape
    row = np.repeat(np.arange(n, dtype=np.int64), k)
    close = (cosine >= floor).ravel()
    row, col = row[close], near.ravel()[close].astype(np.int64)
    key, first = np.unique(np.minimum(row, col) * n + np.maximum(row, col), return_index=True)
    similarity = cosine.ravel()[close][first].astype(np.float64)
    a, b = (key // max(1, n)).astype(np.int32), (key % max(1, n)).astype(np.int32)
    return thinned([Links(a, b, similarity, floor)], n, floor)
