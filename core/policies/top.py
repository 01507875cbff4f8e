"""The highest scores first: what most papers select with."""

import numpy as np
from pydantic import Field

from core.domain import FloatN, IntN, MaskN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget


class Top(Policy):
    """The samples with the highest scores."""

    name = "top"
    title = "Highest scores"
    source = "InstructDiff (arXiv 2601.23006)"

    crossing: bool = Field(
        False, description="switch that takes the sample that crosses a token budget too"
    )

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Best first; equal values keep pool order."""
        most = budget.limit(candidates.n, candidates.n_tokens)
        order = ranked(candidates.value, most if budget.unit == "samples" else None)
        return Chosen(spend(order, candidates, budget, crossing=self.crossing))


def ranked(value: FloatN, most: int | None = None) -> IntN:
    """Positions of the values that are numbers, highest first; equal ones keep their order.

    With `most`, the first ones of them alone: the others need no order.
    """
    rows = np.flatnonzero(~np.isnan(value))
    if most is not None and most < len(rows):
        rows = rows[lowest(-value[rows], most)]
    return rows[np.argsort(-value[rows], kind="stable")]


def lowest(value: FloatN, k: int) -> MaskN:
    """(n,) True for the k lowest of n > k numbers; of equal ones the earlier."""
    if k < 1:
        return np.zeros(len(value), bool)
    bound = np.partition(value, k - 1)[k - 1]
    taken: MaskN = value < bound
    taken[np.flatnonzero(value == bound)[: k - int(taken.sum())]] = True
    return taken
