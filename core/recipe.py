"""A recipe: rules, ranking, policy and budget -> a subset, with a reason for every sample."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.domain import FloatN, IntN, MaskN, Scores, content_hash
from core.errors import BudgetError
from core.policies import Candidates, Policy, build
from core.policies.budget import Budget

RULE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")


class Rule(BaseModel):
    """Keep samples whose column lies in [low, high]; an open end is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read `entropy_drop<=0.2` or `n_tokens>=5`.

        Raises:
            BudgetError: not of that form.
        """
        match = RULE.fullmatch(text)
        if match is None:
            do = "Write COLUMN<=NUMBER or COLUMN>=NUMBER."
            raise BudgetError("--rule", "is not a rule", got=text, do=do)
        column, sign, number = match[1], match[2], float(match[3])
        return cls(column=column, **{"high" if sign == "<=" else "low": number})

    @classmethod
    def parse_all(cls, texts: Iterable[str]) -> "tuple[Rule, ...]":
        """One rule a column: `a>=1` and `a<=2` are the two ends of one."""
        rules: dict[str, Rule] = {}
        for rule in map(cls.parse, texts):
            ends = rule.model_dump(exclude_none=True)
            rules[rule.column] = rules.get(rule.column, rule).model_copy(update=ends)
        return tuple(rules.values())

    def bounds(self) -> list[str]:
        """The rule as `parse` reads it, one text an end, without rounding."""
        ends = ((">=", self.low), ("<=", self.high))
        return [f"{self.column}{sign}{end!r}" for sign, end in ends if end is not None]

    def passed(self, column: FloatN) -> MaskN:
        """(n,) True where the column is a number within the bounds."""
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return (column >= low) & (column <= high)

    def __str__(self) -> str:
        name = self.column.replace("_", " ")
        if self.low is None and self.high is None:
            return f"{name} is a number"
        if self.high is None:
            return f"{name} ≥ {self.low:.4g}"
        if self.low is None:
            return f"{name} ≤ {self.high:.4g}"
        return f"{self.low:.4g} ≤ {name} ≤ {self.high:.4g}"


class Recipe(BaseModel):
    """What to keep of a scored pool. Two equal recipes on one run give the same subset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: str
    method: str
    run_id: str
    params: dict[str, Any] = Field(default_factory=dict)  # live knobs that differ from the run
    rules: tuple[Rule, ...] = ()
    policy: str = "top"
    policy_params: dict[str, Any] = Field(default_factory=dict)
    budget: str = "10%"

    @property
    def key(self) -> str:
        """Content hash: the same recipe has the same key in every session."""
        # a field that was not there from the beginning counts where it is used
        later = set() if self.policy_params else {"policy_params"}
        return content_hash(self.model_dump(exclude=later), 12)

    @classmethod
    def load(cls, value: Any) -> "Recipe":
        """Read a recipe out of a manifest or a link.

        Raises:
            BudgetError: a field is missing, unknown or of the wrong type.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = "recipe." + ".".join(map(str, first["loc"]))
            raise BudgetError(where, first["msg"].lower(), do="Make the recipe anew.") from None


@dataclass(frozen=True)
class Subset:
    """What a recipe keeps: positions in the order of choice, and a reason for every sample.

    `reason` (n,): "kept", or why not. Kept and the counts of all reasons add up to n.
    """

    chosen: IntN
    reason: NDArray[np.object_]
    n_tokens: FloatN
    notes: tuple[str, ...] = ()  # what a person should know about the choice

    @property
    def n(self) -> int:
        """Samples in the pool."""
        return len(self.reason)

    @property
    def tokens(self) -> int:
        """Response tokens of the chosen samples."""
        return int(np.nansum(self.n_tokens[self.chosen]))

    @cached_property
    def mask(self) -> MaskN:
        """(n,) True where kept."""
        kept = np.zeros(self.n, bool)
        kept[self.chosen] = True
        return kept

    def counts(self) -> dict[str, int]:
        """Samples by reason, kept first, then by size."""
        names, sizes = np.unique(self.reason.astype(str), return_counts=True)
        pairs = dict(zip(names.tolist(), sizes.tolist(), strict=True))
        return {"kept": pairs.pop("kept", 0)} | dict(sorted(pairs.items(), key=lambda p: -p[1]))


def apply(
    recipe: Recipe,
    scores: Scores,
    columns: Mapping[str, FloatN],
    source: IntN | None = None,
    id_hash: IntN | None = None,
) -> Subset:
    """Choose the subset.

    Args:
        recipe: what to keep.
        scores: of the recipe's method, re-ranked under the recipe's live knobs.
        columns: the (n,) columns that rules may name; `n_tokens` feeds token budgets.
        source: (n,) each sample's source as a number, for policies that balance sources.
        id_hash: (n,) 52 bits of each sample's id, for policies that draw.

    Raises:
        BudgetError: a rule names a column that is not there, tokens were never counted, or the
            policy needs groups or queries that the method does not give.
    """
    n = len(scores.value)
    policy = build(recipe.policy, recipe.policy_params)
    budget = Budget.parse(recipe.budget)
    if budget.unit == "tokens" and "n_tokens" not in columns:
        do = "Give samples (160) or per cent (10%)."
        raise BudgetError("--budget", "this run has no token counts", got=recipe.budget, do=do)
    if lacking := missing(policy, scores):
        do = "Use another policy, e.g. top, or another method."
        what = f"needs the {lacking[0]} of each sample, which {recipe.method} does not give"
        raise BudgetError(f"--policy {policy.name}", what, do=do)
    n_tokens = columns.get("n_tokens", np.full(n, np.nan))
    reason = np.array([r and f"not scored: {r}" for r in scores.reasons()], object)
    value = scores.value.copy()
    for rule in recipe.rules:
        if rule.column not in columns or columns[rule.column].ndim != 1:
            known = sorted(name for name, column in columns.items() if column.ndim == 1)
            do = f"Use one of: {', '.join(known)}."
            raise BudgetError(f"rule {rule.column}", "there is no such column", do=do)
        dropped = ~rule.passed(columns[rule.column])
        reason[dropped & (reason == None)] = f"rule: {rule}"  # noqa: E711  (elementwise)
        value[dropped] = np.nan
    candidates = Candidates(
        value, n_tokens, scores.group, source, scores.similarity, id_hash, scores.features
    )
    chosen = policy.choose(candidates, budget)
    reason[reason == None] = _left_out(policy.name, budget)  # noqa: E711
    reason[chosen.rows] = "kept"
    return Subset(chosen.rows, reason, n_tokens, chosen.notes)


def missing(policy: Policy | type[Policy], scores: Scores) -> list[str]:
    """What a policy needs and these scores do not have."""
    return [need for need in sorted(policy.needs) if getattr(scores, need) is None]


def _left_out(policy: str, budget: Budget) -> str:
    if policy == "top":
        return f"budget: ranked below the {budget} that fit"
    return f"budget: not among the {budget} that {policy} takes"
