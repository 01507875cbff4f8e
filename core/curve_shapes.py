"""What a loss curve says: learned early, late, never, or forgotten; and equal filling of groups.

Curves are (n, t): nats per response token at t checkpoints of one training, at equal distances.
A group's curve is the median of its samples. With `change` the median of |first - last| over all
samples of the pool, that curve is called

    forgotten       it ends more than change / 2 above its lowest point
    known already   else, it drops by less than change / 2 from first to last, and ends no higher
                    than the pool's own median curve
    never learned   else, it drops by less than change / 2
    learned early   else, half of its drop is done no later than half of the pool's own
    learned late    else
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN

KNOWN, EARLY, LATE = "known already", "learned early", "learned late"
NEVER, FORGOTTEN = "never learned", "forgotten"
NAMES = (KNOWN, EARLY, LATE, NEVER, FORGOTTEN)

Curves = NDArray[np.float64]  # (c, t)


@dataclass(frozen=True)
class Ribbons:
    """Quartiles of the loss in each group at each checkpoint, in nats per response token."""

    group: IntN  # (c,) numbers, ascending
    size: IntN  # (c,) samples
    low: Curves  # (c, t) 25 %
    middle: Curves  # (c, t) the median
    high: Curves  # (c, t) 75 %

    def __len__(self) -> int:
        return len(self.group)


def ribbons(trajectory: Curves, group: IntN) -> Ribbons:
    """Quartiles of curves (n, t) by group (n,); one below 0, or a loss that is none, is left out.

    Costs one sort by group and one selection in each group: no pass a group over the pool.
    """
    rows = np.flatnonzero((group >= 0) & np.isfinite(trajectory).all(1))
    rows = rows[np.argsort(group[rows], kind="stable")]
    names, size = np.unique(group[rows], return_counts=True)
    ends = np.cumsum(size)
    found = np.empty((3, len(names), trajectory.shape[1]))
    for k, (begin, end) in enumerate(zip(ends - size, ends, strict=True)):
        found[:, k] = np.quantile(trajectory[rows[begin:end]], [0.25, 0.5, 0.75], axis=0)
    return Ribbons(names.astype(np.int64), size.astype(np.int64), *found)


def median_curve(trajectory: Curves, group: IntN) -> FloatN:
    """The median loss (t,) of all samples with a group at each checkpoint; NaN for none.

    Those whose losses are not all numbers are left out.
    """
    rows = (group >= 0) & np.isfinite(trajectory).all(1)
    if not rows.any():
        return np.full(trajectory.shape[1], np.nan)
    return np.asarray(np.median(trajectory[rows], axis=0), np.float64)


def usual_change(trajectory: Curves) -> float:
    """Median of |first - last| over the samples with losses, in nats; 0 where there are none."""
    change = np.abs(trajectory[:, 0] - trajectory[:, -1])
    change = change[np.isfinite(change)]
    return float(np.median(change)) if len(change) else 0.0


def half_done(curves: Curves) -> FloatN:
    """How far along (c,) each curve is when half of its drop from first to last is done.

    0 at the first checkpoint, 1 at the last, straight lines in between; NaN where nothing drops.
    """
    t = curves.shape[1]
    drop = curves[:, 0] - curves[:, -1]
    half = (curves[:, 0] - drop / 2)[:, None]
    after = np.argmax(curves <= half, axis=1)  # the first checkpoint at or below it
    row = np.arange(len(curves))
    here, before = curves[row, after], curves[row, np.maximum(after - 1, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        place = after - 1 + (before - half[:, 0]) / (before - here)
    return np.where(drop > 0, place / max(1, t - 1), np.nan)


def shapes(curves: Curves, pool: FloatN, change: float) -> list[str]:
    """The name of each group's median curve (c, t); see the module.

    `pool` (t,) is the median curve of all samples, `change` what `usual_change` says. Where the
    pool's own curve does not drop, half of the training parts early from late.
    """
    drop = curves[:, 0] - curves[:, -1]
    rise = curves[:, -1] - curves.min(1, initial=np.inf)
    early = half_done(curves) <= np.nan_to_num(half_done(pool[None])[0], nan=0.5)
    still = (drop < change / 2) | (drop <= 0)
    low = curves[:, -1] <= pool[-1]
    names = np.where(still, np.where(low, KNOWN, NEVER), np.where(early, EARLY, LATE))
    forgotten = (rise > change / 2) & (rise > 0)
    return [str(name) for name in np.where(forgotten, FORGOTTEN, names)]


def water_level(size: FloatN, limit: float) -> float:
    """The level L to which all groups (c,) are filled: sum min(size, L) = limit.

    Groups below it are taken whole. Infinite where the limit takes all.
    """
    ordered = np.sort(np.asarray(size, np.float64))
    if limit >= ordered.sum():
        return float("inf")
    below = np.cumsum(ordered) - ordered  # what the smaller groups give
    level = (limit - below) / (len(ordered) - np.arange(len(ordered)))
    return float(level[int(np.argmax(ordered >= level))])
