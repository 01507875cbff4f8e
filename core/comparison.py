"""Two subsets of one pool: what they share, what differs, and what of it is noise.

Two subsets differ by chance, too. What chance does is told by dealing: take every sample that
either keeps, and let it fall at random to a alone, to both, or to b alone, as many of each as
there are. Over all deals the difference of two shares, or of two means, has the mean 0 and a
known spread (the permutation variance of a linear statistic), and is nearly normal. A difference
is called clear where fewer than one deal in twenty gives one as large; where several are looked at
at once, where fewer than one in twenty gives any of them as large (Bonferroni's bound).
"""

from dataclasses import dataclass

import numpy as np

from core.domain import FloatN, IntN, MaskN
from core.ranks import places

CLEAR = 0.05


@dataclass(frozen=True)
class Overlap:
    """Samples that only a keeps, that both keep, that only b keeps, of a pool of n."""

    only_a: int
    both: int
    only_b: int
    n: int

    @property
    def jaccard(self) -> float:
        """Shared samples of all that either keeps, 0..1; NaN where both keep nothing."""
        either = self.only_a + self.both + self.only_b
        return self.both / either if either else float("nan")

    @property
    def by_chance(self) -> float:
        """Samples that two random draws of these sizes would share, on average."""
        return (self.only_a + self.both) * (self.only_b + self.both) / self.n if self.n else 0.0

    @property
    def jaccard_by_chance(self) -> float:
        """The Jaccard index of two draws of these sizes that share `by_chance` samples."""
        either = self.only_a + self.only_b + 2 * self.both - self.by_chance
        return self.by_chance / either if either else float("nan")


def overlap(a: MaskN, b: MaskN) -> Overlap:
    """Overlap of two subsets, as masks (n,) of one pool."""
    both = int((a & b).sum())
    return Overlap(int(a.sum()) - both, both, int(b.sum()) - both, len(a))


@dataclass(frozen=True)
class Gap:
    """Means (g,) of g columns over two subsets, and what chance does to their difference.

    `reach`: 95 of 100 random deals, at least, leave all g differences within ±reach; NaN where a
    subset is empty.
    """

    a: FloatN
    b: FloatN
    reach: FloatN

    @property
    def difference(self) -> FloatN:
        """a minus b, (g,)."""
        return self.a - self.b

    @property
    def clear(self) -> MaskN:
        """(g,) True where the difference is larger than chance; rounding is no difference."""
        return np.abs(self.difference) > self.reach + 1e-12


def label_gap(label: IntN, n_labels: int, a: MaskN, b: MaskN) -> Gap:
    """Share of each label in two subsets, as `Gap` of shares 0..1.

    Args:
        label: (n,) from 0 to n_labels - 1.
        n_labels: how many labels there are.
        a: (n,) the first subset.
        b: (n,) the second.
    """
    shares = [np.bincount(label[mask], minlength=n_labels) / max(mask.sum(), 1) for mask in (a, b)]
    either = a | b
    u = int(either.sum())
    there = np.bincount(label[either], minlength=n_labels)
    scatter = there * (1 - there / max(u, 1))  # sum of squares around the mean of a 0/1 column
    return _gap(shares[0], shares[1], scatter, a, b)


def mean_gap(column: FloatN, a: MaskN, b: MaskN) -> Gap:
    """Mean of one column (n,) over two subsets, g = 1; samples that lack it do not count."""
    known = np.isfinite(column)
    a, b = a & known, b & known
    means = [np.array([column[m].mean() if m.any() else np.nan]) for m in (a, b)]
    either = column[a | b]
    scatter = np.array([((either - either.mean()) ** 2).sum() if len(either) else 0.0])
    return _gap(means[0], means[1], scatter, a, b)


def _gap(mean_a: FloatN, mean_b: FloatN, scatter: FloatN, a: MaskN, b: MaskN) -> Gap:
    """The spread of sum(w y) when y is dealt at random: sum(w^2) * scatter / (u - 1).

    w is 1/|a| for a's samples minus 1/|b| for b's; its sum is 0.
    """
    from scipy.special import ndtri

    counts = overlap(a, b)
    n_a, n_b = counts.only_a + counts.both, counts.only_b + counts.both
    if not n_a or not n_b:
        return Gap(mean_a, mean_b, np.full(len(mean_a), np.nan))
    squares = counts.only_a / n_a**2 + counts.only_b / n_b**2
    squares += counts.both * (1 / n_a - 1 / n_b) ** 2
    u = counts.only_a + counts.both + counts.only_b
    spread = np.sqrt(squares * scatter / max(u - 1, 1))
    return Gap(mean_a, mean_b, -ndtri(CLEAR / 2 / max(len(mean_a), 1)) * spread)


def overlap_by_budget(a: FloatN, b: FloatN, steps: int = 100) -> tuple[IntN, FloatN, FloatN]:
    """How alike the tops of two rankings are at every budget.

    Args:
        a: (n,) scores, higher is chosen earlier, NaN is never chosen.
        b: (n,) the other scores.
        steps: budgets from 100 / steps to 100 % of the pool, rounded up to whole samples.

    Returns: budget in samples, the Jaccard index of both tops, and that of two random draws as
    large, (steps,) each; NaN where both hold nothing.
    """
    n = len(a)
    budget = -(-np.arange(1, steps + 1) * n // steps)
    at_a, at_b = places(a), places(b)
    met = np.maximum(at_a, at_b)  # a budget above it holds the sample in both tops
    both = np.searchsorted(np.sort(met[met < n]), budget)
    size_a = np.minimum(budget, int((at_a < n).sum()))
    size_b = np.minimum(budget, int((at_b < n).sum()))
    by_chance = size_a * size_b / max(n, 1)
    return budget, _jaccard(both, size_a, size_b), _jaccard(by_chance, size_a, size_b)


def _jaccard(both: FloatN | IntN, a: IntN, b: IntN) -> FloatN:
    either = a + b - both
    return np.where(either > 0, both / np.where(either > 0, either, 1), np.nan)
