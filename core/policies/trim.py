"""Both tails of the scores set aside, then the highest of the rest."""

from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import FloatN, MaskN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget
from core.policies.top import lowest, ranked


class Trim(Policy):
    """The highest scores after the extreme ones are set aside.

    An extreme score is often a broken sample: garbled, in another language, cut off.
    """

    name = "trim"
    title = "Highest scores without the extremes"
    source = "the filter of InstructDiff (arXiv 2601.23006), on the score itself"

    low: float = Field(0.0, ge=0, lt=0.5, description="share of the lowest scores set aside")
    high: float = Field(0.1, ge=0, lt=0.5, description="share of the highest scores set aside")
    rule: Literal["count", "quantile"] = Field(
        "count", description="tails cut by number of samples or by quantile"
    )

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Best first among what is left; equal values keep pool order."""
        value = candidates.value
        low, high = tails(value, ~np.isnan(value), self.low, self.high, self.rule)
        order = ranked(np.where(low | high, np.nan, value))
        return Chosen(spend(order, candidates, budget))


def tails(
    value: FloatN, usable: MaskN, low: float, high: float, rule: str = "count"
) -> tuple[MaskN, MaskN]:
    """Masks (n,) of the samples in the low and in the high tail of `value`.

    `count` sorts (stable) and cuts int(m * share) samples at each end, m being the usable ones,
    and cuts nothing when that would leave none (InstructDiff's code; note int(100 * 0.29) = 28).
    `quantile` keeps q_low <= value <= q_(1 - high) (the paper).
    """
    rows = np.flatnonzero(usable)
    cut_low, cut_high = np.zeros_like(usable), np.zeros_like(usable)
    if rule == "quantile" and len(rows):
        bounds = np.quantile(value[rows], [low, 1 - high])
        return usable & (value < bounds[0]), usable & (value > bounds[1])
    k_low, k_high = max(0, int(len(rows) * low)), max(0, int(len(rows) * high))
    if k_low + k_high < len(rows):
        cut_low[rows[lowest(value[rows], k_low)]] = True
        last = lowest(-value[rows][::-1], k_high)[::-1]  # of equal ones the later
        cut_high[rows[last]] = True
    return cut_low, cut_high
