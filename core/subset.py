"""A recipe applied to scores -> a subset, with a reason for every sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN, Scores
from core.errors import BudgetError
from core.matched import Matched, matched
from core.policies import Candidates, Chosen, Policy, build, price
from core.policies.budget import Budget
from core.recipe import Recipe

NO_ROWS: IntN = np.empty(0, np.int64)


@dataclass(frozen=True)
class Subset:
    """What a recipe keeps: positions in the order of choice, and a reason for every sample.

    `code` (n,) says which of `names` is a sample's reason; the first name is "kept".
    `passed`: for each rule of the recipe, (n,) True where a sample passes it, whatever else drops
    the sample. Kept and the counts of all reasons add up to n.
    """

    chosen: IntN
    code: NDArray[np.int16]
    names: tuple[str, ...]
    n_tokens: FloatN
    notes: tuple[str, ...] = ()  # what a person should know about the choice
    passed: tuple[MaskN, ...] = ()

    @property
    def n(self) -> int:
        """Samples in the pool."""
        return len(self.code)

    @property
    def tokens(self) -> int:
        """Response tokens of the chosen samples."""
        return int(np.nansum(self.n_tokens[self.chosen]))

    @property
    def reason(self) -> NDArray[np.object_]:
        """(n,) "kept", or why not."""
        return np.array(self.names, object)[self.code]

    @cached_property
    def mask(self) -> MaskN:
        """(n,) True where kept."""
        return np.asarray(self.code == 0)

    @cached_property
    def matched(self) -> Matched:
        """Random draws of the same size and lengths, to stand beside whatever is shown."""
        return matched(self.n_tokens, self.mask)

    def steps(self) -> list[tuple[str, int]]:
        """Each reason but "kept" with the samples it removes, in the order of the recipe."""
        sizes = np.bincount(self.code, minlength=len(self.names)).tolist()
        return list(zip(self.names, sizes, strict=True))[1:]

    def counts(self) -> dict[str, int]:
        """Samples by reason, kept first, then by size; reasons of no sample are left out."""
        found = [(name, size) for name, size in self.steps() if size]
        return {"kept": len(self.chosen)} | dict(sorted(found, key=lambda p: (-p[1], p[0])))


@dataclass(frozen=True)
class Facts:
    """What a recipe is applied to beside scores; everything in pool order.

    `passed`: for each rule, (n,) True where a sample passes it. `n_tokens` (n,): response tokens,
    NaN where not counted. `source` (n,): a number into `sources`. `id_hash` (n,): 52 bits of each
    id. `duplicates` (n,): group of near-duplicates, -1 where alone. `pinned`: rows kept and rows
    dropped by hand.
    """

    passed: tuple[MaskN, ...]
    n_tokens: FloatN | None = None
    source: IntN | None = None
    sources: Sequence[str] = ()
    id_hash: IntN | None = None
    duplicates: IntN | None = None
    pinned: tuple[IntN, IntN] = (NO_ROWS, NO_ROWS)


class _Reasons:
    """Gives each sample the first reason that drops it."""

    def __init__(self, n: int) -> None:
        self.code = np.full(n, -1, np.int16)
        self.names = ["kept"]

    def give(self, name: str, rows: "MaskN | IntN") -> None:
        """Say `name` of those rows that have no reason yet."""
        if name not in self.names:
            self.names.append(name)
        mask = np.zeros(len(self.code), bool)
        mask[rows] = True
        self.code[mask & (self.code < 0)] = self.names.index(name)

    def left(self, value: FloatN) -> FloatN:
        """The scores of those without a reason, NaN for the others."""
        return np.where(self.code < 0, value, np.nan)


def apply(recipe: Recipe, scores: Scores, facts: Facts) -> Subset:
    """Choose the subset.

    In this order: samples without a score, each rule, what is dropped by hand, near-duplicates,
    quotas, and the policy under the budget. What is kept by hand is kept whatever else is said,
    comes first, and takes its part of the budget.

    Raises:
        BudgetError: tokens were never counted, or the policy needs groups or queries that the
            method does not give.
    """
    n = len(scores.value)
    policy, budget = _checked(recipe, scores, facts)
    n_tokens = np.full(n, np.nan) if facts.n_tokens is None else facts.n_tokens
    kept, dropped = facts.pinned
    reasons = _Reasons(n)
    reasons.give("kept", kept)
    for name, mask in scores.excluded.items():
        reasons.give(f"not scored: {name}", mask)
    for rule, passed in zip(recipe.rules, facts.passed, strict=True):
        reasons.give(f"rule: {rule}", ~passed)
    reasons.give("dropped by hand", dropped)
    if recipe.distinct is not None and facts.duplicates is not None:
        again = _repeats(facts.duplicates, reasons.left(scores.value), kept)
        reasons.give(f"rule: {recipe.distinct}", again)
    for name, most in sorted(recipe.quotas.items()):
        over = _over(facts, name, most, reasons.left(scores.value), kept)
        reasons.give(f"quota: {most:,} of {name}", over)
    candidates = Candidates(
        reasons.left(scores.value),
        n_tokens,
        scores.group,
        facts.source,
        scores.similarity,
        facts.id_hash,
        scores.features,
    )
    chosen = _choose(policy, candidates, budget, kept)
    reasons.give("kept", chosen.rows)
    reasons.give(_left_out(policy.name, budget), np.ones(n, bool))
    rows = np.concatenate([kept, chosen.rows])
    return Subset(rows, reasons.code, tuple(reasons.names), n_tokens, chosen.notes, facts.passed)


def _checked(recipe: Recipe, scores: Scores, facts: Facts) -> tuple[Policy, Budget]:
    policy = build(recipe.policy, recipe.policy_params)
    budget = Budget.parse(recipe.budget)
    if budget.unit == "tokens" and facts.n_tokens is None:
        do = "Give samples (160) or per cent (10%)."
        raise BudgetError("--budget", "this run has no token counts", got=recipe.budget, do=do)
    if lacking := missing(policy, scores):
        do = "Use another policy, e.g. top, or another method."
        what = f"needs the {lacking[0]} of each sample, which {recipe.method} does not give"
        raise BudgetError(f"--policy {policy.name}", what, do=do)
    return policy, budget


def _choose(policy: Policy, c: Candidates, budget: Budget, kept: IntN) -> Chosen:
    """What the policy takes with what is left of the budget after those kept by hand."""
    if not len(kept):
        return policy.choose(c, budget)
    cost, limit = price(c, budget)
    left = limit - int(cost[kept].sum())
    if left <= 0:
        note = "What is kept by hand takes the whole budget."
        return Chosen(NO_ROWS, (note,))
    return policy.choose(c, Budget(Decimal(left), False, budget.unit))


def _repeats(group: IntN, value: FloatN, kept: IntN) -> MaskN:
    """(n,) True for every candidate of a group but its best; one kept by hand is the best."""
    rank = value.copy()
    rank[kept] = np.inf
    order = np.lexsort((np.arange(len(rank)), -np.nan_to_num(rank, nan=-np.inf), group))
    first = np.ones(len(order), bool)
    first[1:] = group[order][1:] != group[order][:-1]
    again = np.zeros(len(rank), bool)
    again[order[~first]] = True
    return np.asarray(again & (group >= 0) & ~np.isnan(value))  # -1 is alone


def _over(facts: Facts, name: str, most: int, value: FloatN, kept: IntN) -> IntN:
    """Rows of a source below its `most` best; those kept by hand count."""
    if facts.source is None or name not in facts.sources:
        return NO_ROWS
    mine = facts.source == list(facts.sources).index(name)
    left = max(0, most - int(mine[kept].sum()))
    rows = np.flatnonzero(mine & ~np.isnan(value))
    return rows[np.argsort(-value[rows], kind="stable")][left:]


def missing(policy: Policy | type[Policy], scores: Scores) -> list[str]:
    """What a policy needs and these scores do not have."""
    return [need for need in sorted(policy.needs) if getattr(scores, need) is None]


def _left_out(policy: str, budget: Budget) -> str:
    if policy == "top":
        return f"budget: ranked below the {budget} that fit"
    return f"budget: not among the {budget} that {policy} takes"
