"""What matched random draws of the same size would give, exactly: no draw has to be made.

Draws are stratified: as many of each bin of length as the subset takes (`matched`). Within a bin
a count is hypergeometric and a mean has the variance of a finite population, and bins are drawn
independently. So the comparison needs no seed and is the same for everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain import FloatN, IntN, MaskN
from core.matched import Matched

WIDE = 1.959964  # standard deviations on either side that hold 95 % of a normal law


@dataclass(frozen=True)
class Band:
    """A quantity of the kept samples beside what matched draws give: 95 % lie in [low, high]."""

    kept: float
    expected: float
    low: float
    high: float

    @property
    def beyond(self) -> bool:
        """Whether chance does not explain where the kept samples are."""
        return not self.low <= self.kept <= self.high


def shares(draws: Matched, label: IntN, n_labels: int, kept: MaskN) -> list[Band]:
    """The share of each label among the kept samples, 0..1.

    Args:
        draws: of the pool's n samples.
        label: (n,) from 0 to n_labels - 1.
        n_labels: how many labels there are.
        kept: (n,) True where the subset has the sample; at least one.
    """
    k = int(kept.sum())
    found = np.bincount(label[kept], minlength=n_labels) / k
    middle, spread = (x / k for x in draws.expected(label, n_labels))
    low, high = np.clip(middle - WIDE * spread, 0, 1), np.clip(middle + WIDE * spread, 0, 1)
    return [Band(*map(float, four)) for four in zip(found, middle, low, high, strict=True)]


def mean(draws: Matched, column: FloatN, kept: MaskN) -> Band | None:
    """The mean of a column (n,) over the kept samples that have a number, in its own unit.

    None where no kept sample has one.
    """
    mine = column[kept & np.isfinite(column)]
    if not len(mine):
        return None
    middle, spread = draws.mean(column)
    return Band(float(mine.mean()), middle, middle - WIDE * spread, middle + WIDE * spread)


def strangest(names: Sequence[str], bands: Sequence[Band]) -> tuple[str, Band] | None:
    """The share that lies farthest outside of what chance explains; None when none does."""
    pairs = zip(names, bands, strict=True)
    outside = [(max(b.low - b.kept, b.kept - b.high), name, b) for name, b in pairs]
    worst = max(outside, key=lambda found: found[0], default=None)
    return (worst[1], worst[2]) if worst and worst[2].beyond else None
