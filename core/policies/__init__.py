"""Scores -> subset under a budget. A policy sees arrays; ties keep pool order.

A policy is a frozen pydantic model like a method: its fields are its parameters, its class
variables are its card, and a new file here is found by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from core.domain import FloatN, IntN, Rows
from core.errors import BudgetError
from core.fields import complaint
from core.policies.budget import Budget

Need = Literal["group", "similarity", "features"]


@dataclass(frozen=True)
class Candidates:
    """What a policy chooses from; everything in pool order, n rows.

    `value` (n,): higher is chosen earlier, NaN is never chosen. `n_tokens` (n,): response
    tokens, for budgets in tokens. `group` (n,): bin, band or cluster, None where the method
    gives none. `source` (n,): the sample's source as a number. `similarity` (n, m): to each
    query. `id_hash` (n,): 52 bits of the sample's id, for draws that no pool order changes.
    `features` (n, w): unit rows whose products are the cosines between samples.
    """

    value: FloatN
    n_tokens: FloatN
    group: IntN | None = None
    source: IntN | None = None
    similarity: NDArray[np.float32] | None = None
    id_hash: IntN | None = None
    features: Rows | None = None

    @property
    def n(self) -> int:
        """Samples in the pool, those that cannot be chosen too."""
        return len(self.value)

    @property
    def rows(self) -> IntN:
        """Positions of the samples that can be chosen, in pool order."""
        return np.flatnonzero(~np.isnan(self.value))


@dataclass(frozen=True)
class Chosen:
    """Positions in the order of choice, and what a person should know about the choice."""

    rows: IntN
    notes: tuple[str, ...] = ()


class Policy(BaseModel, ABC):
    """One way to spend a budget."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]  # as in code, CLI and recipes
    title: ClassVar[str]  # as people read it
    source: ClassVar[str]  # paper or tradition
    needs: ClassVar[frozenset[Need]] = frozenset()

    @abstractmethod
    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Choose until the budget is spent; all of `needs` are there."""


def spend(order: IntN, c: Candidates, budget: Budget, *, crossing: bool = False) -> IntN:
    """The first of `order` that the budget pays for.

    In tokens, it takes samples while their sum stays within the budget; `crossing` takes the
    sample that crosses it too, and one at least (the rule of InstructDiff's code).
    """
    cost, limit = price(c, budget)
    if crossing and budget.unit == "tokens":
        spent = np.cumsum(cost[order])
        return order[: max(1, int(np.searchsorted(spent, limit, side="left")) + 1)]
    return affordable(order, cost, limit)


def price(c: Candidates, budget: Budget) -> tuple[FloatN, int]:
    """What each sample costs (n,), in the budget's unit, and how much may be spent.

    Policies that share a budget out between groups count in this currency, so that one rule
    serves samples (each costs 1) and response tokens.
    """
    limit = min(budget.limit(c.n, c.n_tokens), 2**53)  # beyond it floats skip whole numbers
    if budget.unit == "samples":
        return np.ones(c.n), limit
    return np.nan_to_num(c.n_tokens), limit


def affordable(order: IntN, cost: FloatN, limit: int) -> IntN:
    """The first of `order` whose costs stay within `limit` together."""
    return order[: int(np.searchsorted(np.cumsum(cost[order]), limit, side="right"))]


@cache
def catalogue() -> dict[str, type[Policy]]:
    """Every policy by name, in name order."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return {cls.name: cls for cls in sorted(Policy.__subclasses__(), key=lambda c: c.name)}


def build(name: str, params: Mapping[str, Any] | None = None) -> Policy:
    """Make a policy from its name and parameters; text from a command line is converted.

    Raises:
        BudgetError: the name is unknown, or a parameter is unknown or out of bounds.
    """
    if name not in catalogue():
        do = f"Use one of: {', '.join(catalogue())}."
        raise BudgetError("--policy", "there is no policy by this name", got=name, do=do)
    cls = catalogue()[name]
    try:
        return cls.model_validate(dict(params or {}))
    except ValidationError as error:
        field, what, details = complaint(cls, error)
        raise BudgetError(f"{name}.{field}", what, **details) from None
