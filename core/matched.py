"""A random draw of the same size and the same lengths as a subset: what a choice has to beat.

Many scores follow length, and a longer response teaches more tokens. So the fair random baseline
has as many samples as the subset and as many of each length. Lengths are cut at quantiles of the
subset's own, and each bin of the pool gives as many samples, drawn without replacement, as the
subset takes from it. A bin holds the subset's own samples too, so none can run dry: sizes and
bins always match exactly, and part of a draw is the subset itself (`Matched.shared`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN

MOST_BINS = 20
Z95 = 1.959963984540054
PER_BIN = 5  # kept samples a bin should hold, so that there is something to draw between


def generator(seed: int) -> np.random.Generator:
    """The generator of a seed for draws from a pool.

    Never the bare seed: a pool that was itself shuffled or labelled by `default_rng(0)` would be
    drawn from with the same numbers, and the draw would follow its labels.
    """
    return np.random.default_rng([seed, *b"drawn from a pool"])


@dataclass(frozen=True)
class Matched:
    """The bins of a pool of n samples, and what the subset takes from each of b bins.

    `bin` (n,): the last one, b - 1, holds what is shorter or longer than all that is kept, and
    gives nothing. `size` (b,): samples of the pool. `take` (b,): samples of the subset.
    """

    bin: NDArray[np.int16]
    size: IntN
    take: IntN

    @property
    def chance(self) -> FloatN:
        """(n,) how likely each sample is in a draw; a sum of them is an exact expectation."""
        return (self.take / np.maximum(self.size, 1))[self.bin]

    @property
    def shared(self) -> float:
        """Share of a draw that is expected to be in the subset, 0..1; 1 leaves no freedom."""
        taken = int(self.take.sum())
        met = self.take * (self.take / np.maximum(self.size, 1))
        return float(met.sum() / taken) if taken else 0.0

    def beside(self, column: FloatN, kept: MaskN) -> "Beside":
        """The mean of a column (n,) over the subset `kept` (n,), and over draws."""
        known = column[kept & np.isfinite(column)]
        return Beside(float(known.mean()) if len(known) else float("nan"), *self.mean(column))

    def draw(self, rng: np.random.Generator) -> IntN:
        """Rows of one draw, in pool order: as many of each bin as the subset takes."""
        order = np.lexsort((rng.random(len(self.bin)), self.bin))
        place = np.arange(len(order)) - (np.cumsum(self.size) - self.size)[self.bin[order]]
        return np.sort(order[place < self.take[self.bin[order]]])

    def expected(self, label: IntN, n_labels: int) -> tuple[FloatN, FloatN]:
        """Mean and standard deviation of the samples of each label in a draw, (n_labels,) each.

        Exact: within a bin the count is hypergeometric, and bins are drawn independently.

        Args:
            label: (n,) from 0 to n_labels - 1, or -1 for samples that do not count.
            n_labels: how many labels there are.
        """
        counted = label >= 0
        cell = self.bin[counted].astype(np.int64) * n_labels + label[counted]
        bins = len(self.size)
        there = np.bincount(cell, minlength=bins * n_labels).reshape(bins, n_labels)
        size = np.maximum(self.size, 1)[:, None]
        take, share = self.take[:, None], there / size
        left = (size - take) / np.maximum(size - 1, 1)
        variance = (take * share * (1 - share) * left).sum(0)
        return (take * share).sum(0), np.sqrt(variance)

    def mean(self, column: FloatN) -> tuple[float, float]:
        """Mean and standard deviation of a draw's mean of a column (n,), over samples that have it.

        A ratio of two sums where some samples lack the number; its spread is the usual linear one.
        NaN where no sample of the bins has it.
        """
        known = np.isfinite(column)
        weight = self.chance[known]
        if not weight.sum() > 0:
            return float("nan"), float("nan")
        mean = float(weight @ column[known] / weight.sum())
        rest = np.where(known, column - mean, 0.0)
        bins, size = len(self.size), np.maximum(self.size, 1)
        sums = np.bincount(self.bin, rest, bins)
        squares = np.bincount(self.bin, rest**2, bins)
        spread = np.maximum(squares - sums**2 / size, 0) / np.maximum(size - 1, 1)
        variance = (self.take * (1 - self.take / size) * spread).sum()
        return mean, float(np.sqrt(variance) / weight.sum())


@dataclass(frozen=True)
class Beside:
    """One number of a subset, and the mean and standard deviation of it over matched draws."""

    kept: float
    mean: float
    sd: float

    @property
    def ends(self) -> tuple[float, float]:
        """95 of 100 draws lie between them."""
        return self.mean - Z95 * self.sd, self.mean + Z95 * self.sd

    @property
    def clear(self) -> bool:
        """Whether the subset lies outside of what draws do; rounding is no difference."""
        gap = abs(self.kept - self.mean)
        return bool(gap > Z95 * self.sd and gap > 1e-9 * max(1.0, abs(self.mean)))


def matched(length: FloatN, kept: MaskN) -> Matched:
    """Cut a pool into bins of similar length for draws that match the subset.

    Args:
        length: (n,) response tokens; where they were never counted (NaN) is a bin of its own.
        kept: (n,) True where the subset has the sample.
    """
    known = np.isfinite(length)
    mine = length[kept & known]
    bins = int(np.clip(len(mine) // PER_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(mine, np.linspace(0, 1, bins + 1))) if len(mine) else mine
    inner = edges[1:-1]
    label = np.searchsorted(inner, length, side="right")  # an edge belongs to the bin above it
    label[~known] = len(inner) + 1
    inside = kept | ~known
    if len(mine):
        inside = inside | ((length >= mine.min()) & (length <= mine.max()))
    label[~inside] = len(inner) + 2
    size = np.bincount(label, minlength=len(inner) + 3)
    return Matched(label.astype(np.int16), size, np.bincount(label[kept], minlength=len(size)))
