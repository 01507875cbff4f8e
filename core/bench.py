"""A recipe laid out to be applied many times: whole, ranked once, or on a sample of its pool.

Where the policy takes the highest scores, and nothing else looks at other samples (no
near-duplicates, no quotas), candidates are ranked once and every change only cuts the ranked
list: exact at any size. Elsewhere the whole recipe is applied each time, on a seeded sample of
`SAMPLED` samples of a larger pool, with amounts that count samples or tokens scaled to it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN, Rows, Scores
from core.matched import generator
from core.policies import Candidates, spend
from core.policies.budget import Budget
from core.policies.top import ranked
from core.recipe import Recipe
from core.subset import Facts, apply

SAMPLED = 50_000  # samples that are looked at where each time applies the whole recipe


@dataclass(frozen=True)
class Bench:
    """A recipe on a pool, or on a sample of it, ready to be applied again and again."""

    recipe: Recipe
    scores: Scores
    facts: Facts
    rows: IntN  # of the pool

    def apply(self, recipe: Recipe, scores: Scores, facts: Facts) -> MaskN:
        """(len(rows),) what is kept."""
        return apply(recipe, scores, facts).mask


def bench(
    recipe: Recipe, scores: Scores, facts: Facts, *, once: bool = True, seed: int = 0
) -> Bench:
    """The whole pool where it is small or can be ranked once, else a seeded sample of it.

    `once` is False where the scores themselves will change.
    """
    n = len(scores.value)
    if n <= SAMPLED or (once and is_ranked(recipe)):
        return Bench(recipe, scores, facts, np.arange(n))
    rows = np.sort(generator(seed).choice(n, SAMPLED, replace=False))
    return sampled(recipe, scores, facts, rows)


def is_ranked(recipe: Recipe) -> bool:
    """Whether a sample's fate depends on its score, the rules and the budget alone."""
    return recipe.policy == "top" and recipe.distinct is None and not recipe.quotas


def sampled(recipe: Recipe, scores: Scores, facts: Facts, rows: IntN) -> Bench:
    """A recipe on these rows (ascending) of its pool; counts in it shrink as the pool does."""
    n = len(scores.value)
    share = len(rows) / n
    budget = Budget.parse(recipe.budget)
    if not budget.share:
        amount = max(1, round(budget.amount * len(rows) / n))
        budget = replace(budget, amount=Decimal(amount))
    quotas = {name: round(most * share) for name, most in recipe.quotas.items()}
    pinned = [np.isin(rows, pins) for pins in facts.pinned]
    few = replace(
        facts,
        passed=tuple(mask[rows] for mask in facts.passed),
        n_tokens=None if facts.n_tokens is None else facts.n_tokens[rows],
        source=None if facts.source is None else facts.source[rows],
        id_hash=None if facts.id_hash is None else facts.id_hash[rows],
        duplicates=None if facts.duplicates is None else facts.duplicates[rows],
        pinned=(np.flatnonzero(pinned[0]), np.flatnonzero(pinned[1])),
    )
    scaled = recipe.model_copy(update={"budget": str(budget), "quotas": quotas})
    return Bench(scaled, some_scores(scores, rows), few, rows)


def some_scores(scores: Scores, rows: IntN) -> Scores:
    """The scores of some rows."""
    return replace(
        scores,
        value=scores.value[rows],
        group=None if scores.group is None else scores.group[rows],
        excluded={name: mask[rows] for name, mask in scores.excluded.items()},
        diagnostics={name: column[rows] for name, column in scores.diagnostics.items()},
        similarity=None if scores.similarity is None else scores.similarity[rows],
        features=None if scores.features is None else _Some(scores.features, rows),
    )


class SomeColumns(Mapping[str, NDArray[Any]]):
    """Columns (n, ...) at some rows; what is never looked at is never read."""

    def __init__(self, whole: Mapping[str, NDArray[Any]], rows: IntN) -> None:
        self._whole, self._rows = whole, rows
        self._held: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._held:
            self._held[name] = self._whole[name][self._rows]
        return self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


@dataclass(frozen=True)
class _Some:
    """Some rows of rows that are read when they are asked for."""

    whole: Rows
    rows: IntN

    def __getitem__(self, rows: IntN) -> NDArray[np.float32]:
        return self.whole[self.rows[rows]]


def within(column: FloatN, low: float | None, high: float | None) -> MaskN:
    """(n,) True where the column is a number within the bounds; an open end is None."""
    bottom, top = -np.inf if low is None else low, np.inf if high is None else high
    return (column >= bottom) & (column <= top)


def ranked_keeper(on: Bench, leave_out: int | None = None) -> Callable[..., MaskN]:
    """What the highest scores keep, ranked once: called with who passes (n,) and a budget.

    Every rule but `leave_out` holds already. What is kept by hand comes first and takes its part.
    """
    others = [m for j, m in enumerate(on.facts.passed) if j != leave_out]
    first, dropped = on.facts.pinned
    value = on.scores.value.copy()
    for mask in others:
        value[~mask] = np.nan
    value[first] = value[dropped] = np.nan
    order = ranked(value)
    n = len(value)
    n_tokens = np.full(n, np.nan) if on.facts.n_tokens is None else on.facts.n_tokens
    candidates = Candidates(value, n_tokens)
    crossing = bool(on.recipe.policy_params.get("crossing", False))
    present = Budget.parse(on.recipe.budget)
    spent = len(first) if present.unit == "samples" else int(np.nansum(n_tokens[first]))

    def kept(passes: MaskN, budget: Budget = present) -> MaskN:
        limit = budget.limit(n, n_tokens) - spent
        left = Budget(Decimal(limit), False, budget.unit)
        mask = np.zeros(n, bool)
        mask[first] = True
        if limit > 0 or not len(first):
            mask[spend(order[passes[order]], candidates, left, crossing=crossing)] = True
        return mask

    return kept
