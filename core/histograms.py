"""Counts in bins, of a column and of a plane; arrays only, one pass each over the pool."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN

BINS = 48


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width, (b,); the last bin holds its upper edge."""

    edges: FloatN  # (b + 1,)
    samples: IntN
    kept: IntN
    first: IntN  # row of the first sample in the bin, -1 in an empty one

    @property
    def middle(self) -> FloatN:
        """Middle of each bin."""
        return np.asarray((self.edges[:-1] + self.edges[1:]) / 2)


def equal_edges(low: float, high: float, bins: int) -> FloatN:
    """Edges (b + 1,) of at most `bins` equal bins; of width 1 around a single value."""
    edges = np.unique(np.linspace(low, high, bins + 1))
    return edges if len(edges) > 1 else np.array([low - 0.5, low + 0.5])


def fitting(n: int) -> int:
    """How many bins n values can fill: about twice their root, 12 to `BINS`."""
    return int(np.clip(2 * np.sqrt(n), 12, BINS))


def histogram(
    value: FloatN, kept: MaskN, bins: int = 0, edges: FloatN | None = None
) -> Histogram | None:
    """Counts of a column (n,) and of its kept samples; None where it holds no number.

    `bins` 0 takes as many as fit. With `edges` of another histogram the two can be laid beside
    each other.
    """
    rows = np.flatnonzero(np.isfinite(value))
    if not len(rows):
        return None
    own = value[rows]
    if edges is None:
        edges = equal_edges(float(own.min()), float(own.max()), bins or fitting(len(own)))
    b = len(edges) - 1
    place = np.clip(np.searchsorted(edges, own, side="right") - 1, 0, b - 1)
    first = np.full(b, -1, np.int64)
    first[place[::-1]] = rows[::-1]  # of several rows the last one written stays
    samples, held = (np.bincount(some, minlength=b) for some in (place, place[kept[rows]]))
    return Histogram(edges, samples, held, first)


def density(x: FloatN, y: FloatN, edges: FloatN) -> NDArray[np.int64]:
    """Counts (b, b) of points in squares of one equal scale: row is y, column is x.

    Points outside of the edges count in the outermost squares.
    """
    b, low = len(edges) - 1, edges[0]
    width = (edges[-1] - low) / b
    column, row = (np.clip(((v - low) / width).astype(np.int64), 0, b - 1) for v in (x, y))
    return np.bincount(row * b + column, minlength=b * b).reshape(b, b)


def quarters(x: FloatN, y: FloatN, at: tuple[float, float]) -> NDArray[np.float64]:
    """Shares (2, 2) of points by side of a cross at `at`: row is y (below, above), column is x
    (left, right); a point on the cross counts to the right and above.
    """
    place = 2 * (y >= at[1]) + (x >= at[0])
    return np.asarray(np.bincount(place, minlength=4).reshape(2, 2) / max(1, len(x)))
