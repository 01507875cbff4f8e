"""The samples that are among the nearest of most queries, near duplicates counted once."""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.domain import FloatN, IntN
from core.errors import BudgetError
from core.policies import Candidates, Chosen, Policy
from core.policies.budget import Budget
from core.policies.similarity import Similarity, by_mass, closeness, nearest

BLOCK = 1024  # samples whose cosines to all others are in memory at a time
MOST = 30_000  # neighbours of all queries together: the work grows with their square
DIGITS = 6  # of a density, which counts samples


class KnnKde(Policy):
    """TSDS with a density: samples that resemble one another share one unit of mass.

    As `knn_uniform`, but the part of a neighbour is 1 / density, the density being the number
    of close neighbours of the sample within the pool, itself included.
    """

    name = "knn_kde"
    title = "Shared by the nearest, near duplicates once"
    source = "TSDS, as in targeted instruction selection (arXiv 2602.14696)"
    needs = frozenset({"similarity", "features"})

    alpha: float = Field(
        0.01, gt=0, lt=1, description="weight of the distance against that of spreading out"
    )
    scale: float = Field(
        5.0, gt=0, le=1e6, description="scale of the distances (C): the smaller, the fewer samples"
    )
    sigma: float = Field(
        0.75,
        gt=0,
        le=2,
        description="width of the density: only a cosine above 1 - sigma^2 / 2 counts as close",
    )
    cap: int = Field(
        5000,
        ge=2,
        le=100_000,
        description="most neighbours of a query; at most a tenth of the pool",
    )
    density_cap: int = Field(
        1000, ge=1, le=100_000, description="most neighbours in a density; at most a tenth too"
    )

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Highest share first; equal ones keep pool order, and a note says when that decides."""
        assert candidates.features is not None  # `needs`
        rows, similarity = closeness(candidates, self.name)
        if not len(rows):
            return Chosen(rows)
        tenth = max(1, len(rows) // 10)
        near = neighbours(similarity, self.cap)
        around = np.unique(near)
        if len(around) > MOST:
            do = f"Lower cap, which is {self.cap:,} now."
            what = (
                f"the queries have too many neighbours together to compare, the most are {MOST:,}"
            )
            raise BudgetError("knn_kde.cap", what, got=len(around), do=do)
        density = np.full(len(rows), np.nan)
        density[around] = densities(
            candidates.features[rows[around]], min(self.density_cap, tenth), self.sigma
        )
        shares = kde_shares(similarity, near, density, self.alpha, self.scale)
        chosen = by_mass(rows, shares.share, candidates, budget)
        note = "The queries hit the cap of their neighbours. Lower scale, or raise alpha."
        return Chosen(chosen.rows, (note,) * shares.capped + chosen.notes)


@dataclass(frozen=True)
class Shares:
    """What the queries hand out.

    `share` (n,) of each sample, summing to 1. `last` (m,): the place of each query's last
    neighbour that gets its whole part; `total`: the parts of the query that went on last.
    `capped`: the queries were stopped by their caps.
    """

    share: FloatN
    last: IntN
    total: float
    capped: bool


def neighbours(similarity: Similarity, cap: int) -> IntN:
    """The nearest samples of each query (m, k), k at most a tenth of the pool, 2 where it can.

    By max(1 - similarity, 0) in float32, as in the authors' code: what is equal there, and all
    with a similarity of 1 or more, keeps pool order.
    """
    n = len(similarity)
    distance = np.maximum(1 - similarity, 0).astype(np.float32)
    return np.stack(list(nearest(-distance, min(cap, max(n // 10, 2)))))


def densities(features: NDArray[np.floating], k: int, sigma: float) -> FloatN:
    """(p,) sum over the k nearest of max(0, 1 - 2 (1 - cosine) / sigma^2), itself included.

    From unit rows (p, w); several checkpoints are sqrt(weight) times the unit rows of each, side
    by side. Rounded, so that near duplicates are equal and no processor's noise orders them.
    """
    wide = np.asarray(features, np.float64)
    out, k = np.empty(len(wide)), min(k, len(wide))
    for start in range(0, len(wide), BLOCK):
        distance = np.maximum(1 - wide[start : start + BLOCK] @ wide.T, 0)
        close = np.maximum(1 - 2 * distance / sigma**2, 0)
        out[start : start + BLOCK] = np.partition(close, -k)[:, -k:].sum(1)
    return np.round(out, DIGITS)


def kde_shares(
    similarity: Similarity, near: IntN, density: FloatN, alpha: float, scale: float
) -> Shares:
    """The shares from `similarity` (n, m), neighbours `near` (m, k) and `density` (n,).

    A neighbour's part is 1 / density; a query's mass is 1/m, its parts 1 / (m total) of it, and
    what is left goes to the neighbour after its last. float32 stays float32, as in the
    authors' code.
    """
    n, m = similarity.shape
    distance = np.maximum(1 - np.take_along_axis(similarity.T, near, 1), 0).astype(np.float32)
    part = 1 / density[near]  # (m, k)
    last, total, capped = _spread(distance, part, alpha / scale, 1 - alpha)
    given = np.where(np.arange(near.shape[1]) <= last[:, None], part / (m * total), 0)
    left = np.maximum(1 / m - given.sum(1, dtype=np.float64), 0.0)
    share: FloatN = np.bincount(near.ravel(), given.ravel(), n).astype(np.float64)
    following = np.minimum(last + 1, near.shape[1] - 1)
    np.add.at(share, near[np.arange(m), following], left)
    return Shares(share, last, total, capped)


def _spread(
    distance: NDArray[np.floating], part: NDArray[np.floating], weight: float, bound: float
) -> tuple[IntN, float, bool]:
    """How far each query goes: the query with the fewest parts takes its next neighbour.

    `distance` and `part` (m, k), nearest first. Ends when weight * the sum of all queries' costs
    reaches bound * m, a query's cost being sum_k part_k (d_next - d_k), or when all are at their
    cap. Returns the last places (m,), the parts of the query that went on last, capped.
    """
    m, k = distance.shape
    heap = [(part[q, 0], 0, q) for q in range(m)]
    heapify(heap)
    last, paid = np.full(m, -1, np.int64), np.cumsum(distance * part, 1)
    cost, total = np.zeros(m), 1.0
    while heap and k > 1:
        total, place, q = heappop(heap)
        cost[q] = distance[q, place + 1] * total - paid[q, place]
        if weight * cost.sum() >= bound * m:
            return last, float(total), False
        last[q] = place
        if place < k - 2:
            heappush(heap, (total + part[q, place + 1], place + 1, q))
    return last, float(total), True
