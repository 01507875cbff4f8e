"""The points of a map as the few bytes that a browser draws them from, and outlines back from it.

Arrays in, little-endian bytes out. A place or a number is one of 65,535 steps in two bytes, a
kept sample one bit; the row of a sample is its position, everywhere. In the browser a map is
measured in units: both axes divided by the longer one, from 0 to 1, so that shapes stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import MaskN

Kind = Literal["sequence", "diverging", "category"]
Point = tuple[float, float]
FloatN = NDArray[np.floating[Any]]

STEPS = 65_534  # the highest step of a place or a number
NOTHING = 65_535  # no place, or no number
TAIL = 0.005  # of the numbers at either end share the end's colour
NAMED = 8  # categories that people can tell apart by colour
FAR = 0.002  # of the samples at either end of an axis may lie outside of the first view
CORNERS = 64  # of an outline, at most
DRAWN = 4096  # corners of a drawn line that are looked at


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

    def to_units(self, outline: Sequence[Point]) -> tuple[Point, ...]:
        """Corners in units from corners in map coordinates."""
        (x, y), span = self.origin, self.span
        return tuple(((u - x) / span, (v - y) / span) for u, v in outline)


@dataclass(frozen=True)
class Colouring:
    """Numbers of n samples: `payload` has 2 bytes each, in pool order.

    A number is low + (high - low) * step / STEPS; beyond `low` and `high` it is the end's. Of a
    category the step is its place in `names`, the most frequent first.
    """

    key: str
    kind: Kind
    low: float
    high: float
    names: tuple[str, ...]
    payload: bytes
    clipped: bool = False  # there are numbers beyond the ends


@dataclass(frozen=True)
class Label:
    """Words at a place of the map, in units; `n` samples stand behind them."""

    text: str
    x: float
    y: float
    n: int


def _key(payload: bytes) -> str:
    """The same bytes have the same key, so that a browser knows what it has."""
    return blake2b(payload, digest_size=8).hexdigest()


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
        _key(payload),
        len(xy),
        int(placed.sum()),
        (float(origin[0]), float(origin[1])),
        span,
        tuple(whole.ravel().tolist()),
        payload,
    )


def pack_numbers(values: FloatN, kind: Kind = "sequence") -> Colouring:
    """Pack a column (n,) to colour by; NaN has no colour.

    The ends are the quantiles at `TAIL` and 1 - `TAIL`, so that a few extreme numbers do not
    take all colours; those of "diverging" are as far below zero as above it.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = np.quantile(finite, [TAIL, 1 - TAIL]).tolist() if len(finite) else (0.0, 0.0)
    if low == high and len(finite):
        low, high = float(finite.min()), float(finite.max())
    if kind == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    steps = np.where(np.isnan(share), NOTHING, np.rint(np.clip(share, 0, 1) * STEPS))
    payload = steps.astype("<u2").tobytes()
    clipped = bool(len(finite)) and (finite.min() < low or finite.max() > high)
    return Colouring(_key(payload), kind, low, high, (), payload, clipped)


def pack_categories(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> Colouring:
    """Pack categories (n,), each a position in `names`, -1 for none.

    Where there are more than `NAMED`, the least frequent of them become one, "other".
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    chosen = order if len(order) <= NAMED else order[: NAMED - 1]
    step = np.full(len(counts) + 1, len(chosen))  # the last is for -1
    step[chosen] = np.arange(len(chosen))
    step[-1] = NOTHING
    payload = step[codes].astype("<u2").tobytes()
    shown = tuple(names[c] for c in chosen) + (("other",) if len(order) > len(chosen) else ())
    return Colouring(_key(payload), "category", 0, STEPS, shown, payload)


def pack_mask(mask: MaskN) -> tuple[str, bytes]:
    """A mask (n,) as a key and bits, the first sample in the lowest bit of the first byte."""
    payload = np.packbits(mask, bitorder="little").tobytes()
    return _key(payload), payload


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


def drawn_outline(value: Any, packed: PackedMap) -> tuple[Point, ...] | None:
    """What a browser sent as an outline in units, in map coordinates; None if it is none.

    At most `CORNERS` corners are left: see `simplify`.
    """
    if not isinstance(value, list):
        return None
    try:
        line = np.array(value[:DRAWN], np.float64)
    except (TypeError, ValueError):
        return None
    if line.ndim != 2 or line.shape[1] != 2 or not np.isfinite(line).all():
        return None
    line, _ = simplify(np.clip(line, -1, 2))
    return packed.to_map([(float(u), float(v)) for u, v in line]) if len(line) > 2 else None


def simplify(line: NDArray[np.float64], most: int = CORNERS) -> tuple[NDArray[np.float64], float]:
    """A closed line (c, 2) with at most `most` of its corners, in their order.

    From two far corners on, the corner that lies farthest from the line so far is put back,
    until none is farther than a thousandth of the line's width. (Douglas and Peucker 1973, the
    farthest first.)

    Returns: the corners, and how far a left-out one is from the new line at most.
    """
    line = line[np.any(line != np.roll(line, 1, axis=0), axis=1)]  # a corner drawn twice
    if len(line) < 3:
        return line, 0.0
    tolerance = 1e-3 * float(np.ptp(line, axis=0).max())
    start = int(np.argmin(line[:, 0]))
    far = int(np.argmax(np.hypot(*(line - line[start]).T)))
    kept = sorted({start, far})
    while True:
        away = _distances(line, kept)
        worst = int(np.argmax(away))
        if len(kept) >= most or (away[worst] <= tolerance and len(kept) > 2):
            return line[kept], float(away[worst])
        if away[worst] == 0:  # all corners on one line: no area, nothing to keep
            return line[:0], 0.0
        kept = sorted([*kept, worst])


def _distances(line: NDArray[np.float64], kept: Sequence[int]) -> NDArray[np.float64]:
    """How far each corner (c,) is from the edge between the kept corners around it."""
    ends = np.array([*kept, kept[0]])
    after = np.searchsorted(ends[:-1], np.arange(len(line)), side="right")
    after[after == 0] = len(kept)  # before the first one: the edge that closes the line
    a, b = line[ends[after - 1]], line[ends[after]]
    along, across = b - a, line - a
    length = np.maximum((along**2).sum(axis=1), 1e-300)
    share = np.clip((across * along).sum(axis=1) / length, 0, 1)
    return np.asarray(np.hypot(*(across - share[:, None] * along).T))
