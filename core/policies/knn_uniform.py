"""The samples that are among the nearest of most queries."""

import numpy as np
from pydantic import Field

from core.domain import FloatN
from core.policies import Candidates, Chosen, Policy
from core.policies.budget import Budget
from core.policies.similarity import Similarity, by_mass, closeness, nearest


class KnnUniform(Policy):
    """TSDS: every query gives equal parts to its K nearest samples.

    K grows until spreading wider would cost more than it brings: until the mean slack
    sum_k (d_(K+1) - d_k) of a query reaches (1 - alpha) C / alpha, d = 1 - similarity.
    """

    name = "knn_uniform"
    title = "Shared by the nearest of all queries"
    source = "TSDS, as in targeted instruction selection (arXiv 2602.14696)"
    needs = frozenset({"similarity"})

    alpha: float = Field(
        0.01, gt=0, lt=1, description="weight of the distance against that of spreading out"
    )
    scale: float = Field(
        5.0, gt=0, le=1e6, description="scale of the distances (C): the smaller, the smaller K"
    )
    cap: int = Field(5000, ge=1, le=1_000_000, description="most neighbours of a query (L)")

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Highest share first; equal ones keep pool order, and a note says when that decides."""
        rows, similarity = closeness(candidates, self.name)
        if not len(rows):
            return Chosen(rows)
        share, k = knn_uniform(similarity, self.alpha, self.scale, self.cap)
        chosen = by_mass(rows, share, candidates, budget)
        note = f"K hit its cap of {k:,} neighbours. Lower scale, or raise alpha."
        capped = k == min(self.cap, len(rows))
        return Chosen(chosen.rows, (note,) * capped + chosen.notes)


def knn_uniform(similarity: Similarity, alpha: float, scale: float, cap: int) -> tuple[FloatN, int]:
    """Each sample's share (n,), summing to 1, and K, from `similarity` (n, m)."""
    n, m = similarity.shape
    cap = min(cap, n)
    near = np.stack(list(nearest(similarity, cap)))  # (m, cap)
    distance = 1 - np.take_along_axis(similarity.T, near, 1).astype(np.float64)
    ks = np.arange(1, cap)
    slack = (ks * distance[:, 1:] - np.cumsum(distance, 1)[:, :-1]).sum(0)  # (cap - 1,)
    enough = np.flatnonzero(alpha / scale * slack >= (1 - alpha) * m)
    k = int(ks[enough[0]]) if len(enough) else cap
    return np.bincount(near[:, :k].ravel(), minlength=n) / (k * m), k
