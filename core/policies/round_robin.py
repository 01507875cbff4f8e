"""The queries take turns, each with the closest sample that is still there."""

from itertools import cycle

import numpy as np

from core.domain import IntN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget
from core.policies.similarity import Similarity, closeness, fitting, nearest


class RoundRobin(Policy):
    """Every query gets equally many samples, its closest ones; no sample counts twice."""

    name = "round_robin"
    title = "Queries in turns"
    source = "targeted instruction selection (arXiv 2602.14696)"
    needs = frozenset({"similarity"})

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """In the order of the turns; the first queries pick first."""
        rows, similarity = closeness(candidates, self.name)
        order = round_robin(similarity, fitting(candidates, budget))
        return Chosen(spend(rows[order], candidates, budget))


def round_robin(similarity: Similarity, most: int) -> IntN:
    """The first `most` samples of the turns, from `similarity` (n, m); ties: the earlier row.

    Each query walks down its own sorted list and skips what another one took, so a pick costs no
    scan. The first `most` of a list are enough: no more can have been taken before.
    """
    most = min(most, len(similarity))
    lists = [iter(rows.tolist()) for rows in nearest(similarity, most)]
    used = np.zeros(len(similarity), bool)
    order: list[int] = []
    for walk in cycle(lists):
        if len(order) == most:
            break
        pick = next(row for row in walk if not used[row])
        used[pick] = True
        order.append(pick)
    return np.array(order, np.int64)


def quantile_bins(order: IntN, bins: int = 10) -> list[IntN]:
    """An order cut into equal bins, the last one with the remainder.

    To train on the first samples of each bin shows whether being close means being useful.
    """
    size = len(order) // bins
    return np.split(order, [size * k for k in range(1, bins)])
