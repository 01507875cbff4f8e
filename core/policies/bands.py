"""Chosen bands, each with its share of the budget."""

import re
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import IntN
from core.errors import BudgetError
from core.policies import Candidates, Chosen, Policy, price
from core.policies.budget import Budget
from core.policies.quotas import apportion, within
from core.policies.random_draw import shuffled
from core.policies.top import ranked

BAND = r"\d{1,9}(:[1-9]\d{0,5})?"  # a number, and a weight
BANDS = rf"\s*(all|{BAND}([\s,]+{BAND})*)\s*"


class Bands(Policy):
    """Samples of the chosen bands, equally many of each unless weights say otherwise.

    A band is a group with an order, such as easy (0), middle (1) and hard (2). The bands stand
    in the subset as they are written, so `0 1 2` is a curriculum.
    """

    name = "bands"
    title = "Chosen bands"
    source = "complexity-aware fine-tuning (arXiv 2506.21220)"
    needs = frozenset({"group"})

    bands: str = Field(
        "all",
        pattern=f"^{BANDS}$",
        max_length=500,
        description="bands to take from: all, their numbers (0 2), or numbers with weights (0:1"
        " 2:3)",
    )
    inside: Literal["value", "random"] = Field(
        "value", description="order within a band: highest score first, or random"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of a random order")

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Band after band; a band that is too small leaves its rest to the others."""
        assert candidates.group is not None  # `needs`
        cost, limit = price(candidates, budget)
        order = ranked(candidates.value)
        if self.inside == "random":
            order = shuffled(order, candidates, self.seed)
        weights = self._weights(np.unique(candidates.group[order]))
        place = {band: k for k, band in enumerate(weights)}
        group = np.array([place.get(band, -1) for band in candidates.group.tolist()], np.int64)
        order = order[group[order] >= 0]
        sizes = np.bincount(group[order], cost[order], len(weights)).astype(np.int64).tolist()
        quota = np.array(apportion(list(weights.values()), sizes, limit), np.int64)
        taken = within(order, group, cost, quota, limit)
        taken = taken[np.argsort(group[taken], kind="stable")]
        short = limit - int(cost[taken].sum())
        empty = len(taken) == len(order) and short > 0 and not budget.share
        note = f"The chosen bands hold {short:,} {budget.unit} less than the budget."
        return Chosen(taken, (note,) if empty else ())

    def _weights(self, there: IntN) -> dict[int, int]:
        """The weight of each chosen band, in the order in which they are written."""
        if self.bands.strip() == "all":
            return dict.fromkeys(there.tolist(), 1)
        pairs = [word.partition(":") for word in re.split(r"[\s,]+", self.bands.strip())]
        weights = {int(band): int(weight or 1) for band, _, weight in pairs}
        if gone := sorted(set(weights) - set(there.tolist())):
            do = f"Use some of: {', '.join(map(str, there.tolist()[:20]))}."
            raise BudgetError("bands.bands", "no sample is in this band", got=gone[0], do=do)
        return weights
