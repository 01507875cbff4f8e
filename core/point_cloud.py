"""The points of a map as the few bytes that a browser draws them from, and outlines back from it.

Arrays in, little-endian bytes out. A place or a number is one of 65,535 steps in two bytes, a
kept sample one bit; the row of a sample is its position, everywhere. In the browser a map is
measured in units: both axes divided by the longer one, from 0 to 1, so that shapes stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import MaskN

Point = tuple[float, float]
FloatN = NDArray[np.floating[Any]]

STEPS = 65_534  # the highest step of a place or a number
NOTHING = 65_535  # no place, or no number
FAR = 0.002  # of the samples at either end of an axis may lie outside of the first view


@dataclass(frozen=True)
class PackedMap:
    """Places of n samples: `payload` has x and y of each, 2 bytes each, in pool order.

    map coordinate = origin + unit * span, and unit = step / STEPS; `whole` is the box (left,
    bottom, right, top) in units that shows the map without a few far samples. `placed` counts
    the samples that have a place.
    """

    key: str
    n: int
    placed: int
    origin: Point
    span: float
    whole: tuple[float, float, float, float]
    payload: bytes

    def to_map(self, outline: Sequence[Point]) -> tuple[Point, ...]:
        """Corners in map coordinates from corners in units."""
        (x, y), span = self.origin, self.span
        return tuple((x + u * span, y + v * span) for u, v in outline)

    def short(self, outline: Sequence[Point]) -> tuple[Point, ...]:
        """Corners in map coordinates with as few digits as leave them within half a step."""
        digits = 5 - int(np.floor(np.log10(self.span)))
        return tuple((round(x, digits), round(y, digits)) for x, y in outline)

    def to_units(self, outline: Sequence[Point]) -> tuple[Point, ...]:
        """Corners in units from corners in map coordinates."""
        (x, y), span = self.origin, self.span
        return tuple(((u - x) / span, (v - y) / span) for u, v in outline)


@dataclass(frozen=True)
class Label:
    """Words at a place of the map, in units; `n` samples stand behind them."""

    text: str
    x: float
    y: float
    n: int


def key_of(payload: bytes) -> str:
    """The same bytes have the same key, so that a browser knows what it has."""
    return blake2b(payload, digest_size=8).hexdigest()


def fingerprint(column: NDArray[Any]) -> str:
    """The same column has the same fingerprint; much quicker than packing it."""
    return blake2b(np.ascontiguousarray(column).data, digest_size=16).hexdigest()


def pack_points(x: FloatN, y: FloatN) -> PackedMap:
    """Pack coordinates (n,), NaN for a sample without a place; off by half a step at most."""
    xy = np.stack([x, y], axis=1).astype(np.float64)
    placed = np.isfinite(xy).all(axis=1)
    steps = np.full(xy.shape, NOTHING, "<u2")
    origin, span, whole = np.zeros(2), 1.0, np.array([[0.0, 0.0], [1.0, 1.0]])
    if placed.any():
        there = xy[placed]
        origin, width = there.min(axis=0), np.ptp(there, axis=0)
        span = float(width.max()) or 1.0
        whole = (np.quantile(there, [FAR, 1 - FAR], axis=0) - origin) / span
        steps[placed] = np.rint((there - origin) / span * STEPS)
    payload = steps.tobytes()
    return PackedMap(
        key_of(payload),
        len(xy),
        int(placed.sum()),
        (float(origin[0]), float(origin[1])),
        span,
        tuple(whole.ravel().tolist()),
        payload,
    )


def pack_mask(mask: MaskN) -> tuple[str, bytes]:
    """A mask (n,) as a key and bits, the first sample in the lowest bit of the first byte."""
    payload = np.packbits(mask, bitorder="little").tobytes()
    return key_of(payload), payload


def fitted(column: NDArray[Any], n: int, fill: float) -> NDArray[Any]:
    """A column of the pool's first samples as one of n; the map knows what came later, too."""
    if len(column) >= n:
        return column[:n]
    return np.concatenate([column, np.full(n - len(column), fill, column.dtype)])


def labels(
    packed: PackedMap, x: FloatN, y: FloatN, cluster: NDArray[Any], texts: Sequence[str]
) -> tuple[Label, ...]:
    """Each cluster's words at the median of its places, the largest cluster first."""
    found = []
    for number, text in enumerate(texts):
        mine = (cluster == number) & np.isfinite(x) & np.isfinite(y)
        if text and mine.any():
            middle = (float(np.median(x[mine])), float(np.median(y[mine])))
            ((u, v),) = packed.to_units([middle])
            found.append(Label(text, u, v, int(mine.sum())))
    return tuple(sorted(found, key=lambda label: -label.n))
