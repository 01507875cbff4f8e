"""Every way to choose by queries, side by side on the same candidates and the same budget.

All of them give an order of which smaller budgets are prefixes. What would take minutes on a
large pool, or what lacks its measurements, is left out with a sentence that says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN
from core.errors import SFTLensError
from core.policies import Candidates, build, catalogue
from core.policies.budget import Budget

NAMES = ("top", "doubly_greedy", "max_mean", "round_robin", "knn_uniform")
SLOW = {  # most samples that can be chosen, times queries
    "optimal_transport": 2**21,  # up to 1,000 passes over all similarities
    "knn_kde": 2**19,  # compares the neighbours of all queries with each other
}


@dataclass(frozen=True)
class Choice:
    """What one policy takes: positions in the order of choice, or why it was not asked."""

    title: str
    rows: IntN | None
    left_out: str = ""


def open_to(value: FloatN, code: NDArray[np.int16], names: Sequence[str]) -> FloatN:
    """Scores (n,) of the samples that any selector may take, NaN for all others.

    From a subset's reasons: those kept, and those that only the budget left out, its last reason.
    """
    return np.where((code == 0) | (code == len(names) - 1), value, np.nan)


def choices(
    candidates: Candidates, budget: Budget, own: Mapping[str, Mapping[str, Any]]
) -> dict[str, Choice]:
    """Each policy's choice by name. `own`: parameters that differ from a policy's defaults."""
    return {name: _choice(name, candidates, budget, own.get(name, {})) for name in (*NAMES, *SLOW)}


def _choice(name: str, c: Candidates, budget: Budget, params: Mapping[str, Any]) -> Choice:
    title = catalogue()[name].title
    policy = build(name, params)
    queries = 0 if c.similarity is None else c.similarity.shape[1]
    if len(c.rows) * queries > SLOW.get(name, np.inf):
        most = SLOW[name] // max(queries, 1)
        return Choice(title, None, f"takes too long above {most:,} samples × {queries:,} queries")
    if any(getattr(c, need) is None for need in policy.needs):
        return Choice(title, None, "lacks what it needs in this run")
    try:
        return Choice(title, policy.choose(c, budget).rows)
    except SFTLensError as error:
        return Choice(title, None, str(error).rstrip("."))
