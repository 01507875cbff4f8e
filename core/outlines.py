"""Outlines that people draw on a map, as rules have them: few corners, and short numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.point_cloud import PackedMap, Point

CORNERS = 64  # of an outline, at most
DRAWN = 4096  # corners of a drawn line that are looked at


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
    line = np.clip(line, -1, 2)
    return outlined(packed.to_map(line.tolist()), packed)


def outlined(corners: Sequence[Point], packed: PackedMap) -> tuple[Point, ...] | None:
    """Corners in map coordinates as a rule has them: few, and short; None without an area."""
    line, _ = simplify(np.array(corners, np.float64).reshape(-1, 2))
    return packed.short(line.tolist()) if len(line) > 2 else None


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
