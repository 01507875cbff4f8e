"""As many from every group as it can give: small groups whole, large ones up to one level."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import FloatN, IntN
from core.errors import BudgetError
from core.policies import Candidates, Chosen, Policy, affordable, price
from core.policies.budget import Budget
from core.policies.quotas import split
from core.policies.random_draw import shuffled

Draw = Callable[[IntN, int], IntN]  # rows and a limit -> some of these rows, within the limit


class WaterFilling(Policy):
    """Equally many of each group; what a small group cannot give, the larger ones do.

    In tokens a group's size and level count tokens.
    """

    name = "water_filling"
    title = "Equally many of each group"
    source = "S2L (arXiv 2403.07384)"
    needs = frozenset({"group"})

    smallest: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="fewest samples of a group that takes part; the smaller ones are drawn from"
        " only when budget is left (S2L's code: 3)",
    )
    by_source: bool = Field(
        False, description="switch that fills sources first, and groups inside each (S2L's code)"
    )
    draw: Literal["random", "best", "reference"] = Field(
        "random",
        description="which samples of a large group: random by id, the highest scores, or the"
        " authors' draw, which depends on the order of the pool",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the draw")

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Group after group, the smallest first."""
        assert candidates.group is not None  # `needs`
        cost, limit = price(candidates, budget)
        rows, group, draw = candidates.rows, candidates.group, self._draw(candidates, cost)

        def among_groups(some: IntN, level: int) -> IntN:
            return fill(split(some, group), cost, level, draw, self.smallest)

        if not self.by_source:
            chosen = among_groups(rows, limit)
        elif candidates.source is None:
            do = "Leave by_source off."
            raise BudgetError("water_filling.by_source", "the sources are not known", do=do)
        else:
            chosen = fill(split(rows, candidates.source), cost, limit, among_groups)
        there = int(cost[rows].sum())
        note = f"The budget asks for {limit:,} {budget.unit}, and all {there:,} are taken."
        return Chosen(chosen, (note,) if there < limit and not budget.share else ())

    def _draw(self, candidates: Candidates, cost: FloatN) -> Draw:
        """How some of a group's rows are taken."""
        legacy = np.random.RandomState(self.seed)  # the authors' generator

        def ordered(rows: IntN) -> IntN:
            if self.draw == "reference":
                return legacy.choice(rows, len(rows), replace=False)
            if self.draw == "best":
                return rows[np.argsort(-candidates.value[rows], kind="stable")]
            return shuffled(rows, candidates, self.seed)

        return lambda rows, level: affordable(ordered(rows), cost, level)


def fill(groups: Sequence[IntN], cost: FloatN, limit: int, draw: Draw, smallest: int = 1) -> IntN:
    """Fill groups in ascending size, each up to an equal part of what is left then.

    A group that costs no more than its part is taken whole, of a larger one `draw` takes some.
    Groups of fewer than `smallest` samples wait until the others are done. Equal sizes keep
    their order.
    """
    sizes = [int(cost[rows].sum()) for rows in groups]
    ready = [i for i, rows in enumerate(groups) if len(rows) >= smallest]
    ready.sort(key=lambda i: sizes[i])
    out, rest = [np.array([], np.int64)], limit
    for k, i in enumerate(ready):
        level = rest // (len(ready) - k)
        out.append(groups[i] if sizes[i] <= level else draw(groups[i], level))
        rest -= int(cost[out[-1]].sum())
    small = [rows for rows in groups if len(rows) < smallest]
    if rest > 0 and small:
        out.append(draw(np.sort(np.concatenate(small)), rest))
    return np.concatenate(out)
