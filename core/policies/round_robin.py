"""The queries take turns, each with the closest sample that is still there."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from core.domain import IntN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget
from core.policies.similarity import Similarity, closeness, closest, fitting, nearest


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
    scan. Lists of twice a query's share mostly last; where one does not, all are made as long as
    they can be needed: the first `most` of a list are enough, for no more can have been taken.
    """
    n, m = similarity.shape
    most = min(most, n)
    share = 2 * most // m + 64
    order = turns(closest(similarity, share), most) if share < min(most, n // 8) else []
    if len(order) < most:
        order = turns(list(nearest(similarity, most)), most)
    return np.array(order, np.int64)


def turns(lists: Sequence[IntN], most: int) -> list[int]:
    """The first `most` rows that the lists give in turns, none twice; fewer if one runs out."""
    walks = [iter(rows.tolist()) for rows in lists]
    used: set[int] = set()
    order: list[int] = []
    for walk in cycle(walks):
        pick = next((row for row in walk if row not in used), None)
        if len(order) == most or pick is None:
            break
        used.add(pick)
        order.append(pick)
    return order


def quantile_bins(order: IntN, bins: int = 10) -> list[IntN]:
    """An order cut into equal bins, the last one with the remainder.

    To train on the first samples of each bin shows whether being close means being useful.
    """
    size = len(order) // bins
    return np.split(order, [size * k for k in range(1, bins)])
