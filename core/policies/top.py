"""The highest scores first: what most papers select with."""

import numpy as np
from pydantic import Field

from core.domain import FloatN, IntN
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
        order = ranked(candidates.value)
        return Chosen(spend(order, candidates, budget, crossing=self.crossing))


def ranked(value: FloatN) -> IntN:
    """Positions of the values that are numbers, highest first; equal ones keep their order."""
    order = np.argsort(-value, kind="stable")
    return order[~np.isnan(value[order])]
