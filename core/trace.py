"""Why one sample is kept or dropped: each step of the recipe, and by how much it was passed.

Pure reading of what `subset.apply` decided. Margins are in the unit of the column; a step that an
earlier one made idle is there too, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN, Scores
from core.recipe import Recipe
from core.rules import Range
from core.standing import shown
from core.subset import Subset

BUDGET = "budget: "
BALANCED = frozenset({"quotas", "water_filling", "bands"})  # policies that draw a line a group


@dataclass(frozen=True)
class Step:
    """One step: `passed` is None where it has no say in this sample's fate."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Decided:
    """A recipe's decision on a pool, as its selection holds it. Arrays are in pool order, (n,).

    `values`: by slot of a rule, the sample's number where `columns` does not have the column.
    `hands`: rows that are pinned, which the budget does not decide on.
    """

    recipe: Recipe
    scores: Scores
    subset: Subset
    columns: Mapping[str, NDArray[Any]]
    source: IntN
    sources: Sequence[str]
    values: Mapping[str, float] = field(default_factory=dict)
    hands: IntN = field(default_factory=lambda: np.empty(0, np.int64))


def headline(d: Decided, row: int, pinned: bool | None = None) -> str:
    """`kept: rank 41 of 160`, or the reason why not."""
    if d.subset.mask[row]:
        return "kept by hand" if pinned else f"kept: {_rank(d.scores.value, row)}"
    return f"dropped: {d.subset.names[d.subset.code[row]]}"


def trace(d: Decided, row: int, pinned: bool | None = None) -> list[Step]:
    """Every step of the recipe for one sample, in the order in which they decide.

    `pinned`: kept (True) or dropped (False) by hand, None where no hand was on it.
    """
    steps = [_scored(d, row)]
    pairs = zip(d.recipe.rules, d.subset.passed, strict=True)
    steps += [_rule(d, k, rule, bool(mask[row]), row) for k, (rule, mask) in enumerate(pairs, 1)]
    if pinned is not None:
        said = "kept, whatever the rest says" if pinned else "dropped"
        steps.append(Step("by hand", pinned, said))
    if d.recipe.distinct is not None:
        steps.append(_distinct(d, row))
    if (quota := _quota(d, row)) is not None:
        steps.append(quota)
    steps.append(_budget(d, row, pinned))
    return steps


def running(subset: Subset, pinned: IntN | None = None) -> MaskN:
    """(n,) samples between which the budget decided: no rule, quota or hand took them out."""
    names = [k for k, name in enumerate(subset.names) if k == 0 or name.startswith(BUDGET)]
    mask: MaskN = np.isin(subset.code, names)
    if pinned is not None:
        mask[pinned] = False
    return mask


def _scored(d: Decided, row: int) -> Step:
    value = d.scores.value[row]
    if np.isnan(value):
        reason = next((name for name, m in d.scores.excluded.items() if m[row]), "no score")
        return Step("score", False, f"not scored: {reason}")
    return Step("score", True, f"{shown(value)}, {_rank(d.scores.value, row)}")


def _rank(value: FloatN, row: int) -> str:
    if np.isnan(value[row]):
        return "no score"
    above = int(np.count_nonzero(value > value[row]))
    return f"rank {above + 1:,} of {int(np.count_nonzero(~np.isnan(value))):,}"


def _rule(d: Decided, number: int, rule: Any, passed: bool, row: int) -> Step:
    name, word = f"rule {number}: {rule}", "passed" if passed else "not passed"
    if not isinstance(rule, Range):
        return Step(name, passed, word)
    column = None if rule.run else d.columns.get(rule.column)
    own = d.values.get(rule.slot, np.nan)
    value = float(column[row]) if column is not None and column.ndim == 1 else own
    if np.isnan(value):
        return Step(name, passed, f"{word}: it has no number" if not passed else word)
    margin = _margin(rule, value)
    if margin is None:
        return Step(name, passed, f"{word}: it has {shown(value)}")
    word = "passed by" if passed else "missed by"
    gap = shown(abs(margin)) if margin else "nothing: it is the bound itself"
    return Step(name, passed, f"{word} {gap} (it has {shown(value)})")


def _margin(rule: Range, value: float) -> float | None:
    """Distance to the nearest end, negative outside; None for a rule without ends."""
    ends = [value - rule.low] if rule.low is not None else []
    ends += [rule.high - value] if rule.high is not None else []
    return min(ends) if ends else None


def _distinct(d: Decided, row: int) -> Step:
    mine, asked = d.subset.names[d.subset.code[row]], d.recipe.distinct
    if mine == f"rule: {asked}":
        return Step("near-duplicates", False, f"another of its group ranks higher ({asked})")
    if mine == "kept" or mine.startswith((BUDGET, "quota: ")):
        return Step("near-duplicates", True, "alone, or the best of its group")
    return Step("near-duplicates", None, "not asked, it was dropped before")


def _quota(d: Decided, row: int) -> Step | None:
    """The quota of its source, and its place among those of the source that came so far."""
    name = d.sources[int(d.source[row])]
    most = d.recipe.quotas.get(name)
    if most is None:
        return None
    own = f"quota: {most:,} of {name}"
    mine = d.subset.names[d.subset.code[row]]
    if mine != own and mine != "kept" and not mine.startswith(BUDGET):
        return Step("source quota", None, f"at most {most:,} of {name}; it was dropped before")
    codes = [k for k, n in enumerate(d.subset.names) if k == 0 or n == own or n.startswith(BUDGET)]
    peers = np.isin(d.subset.code, codes) & (d.source == d.source[row])
    place = 1 + int(np.count_nonzero(d.scores.value[peers] > d.scores.value[row]))
    detail = f"place {place:,} of {int(peers.sum()):,} from {name}, at most {most:,}"
    return Step("source quota", mine != own, detail)


def _budget(d: Decided, row: int, pinned: bool | None) -> Step:
    """The budget line, of the sample's group where the policy draws one a group."""
    if pinned and d.subset.mask[row]:
        return Step("budget", None, "kept by hand comes first and takes its part")
    inside = running(d.subset, d.hands)
    if not inside[row]:
        return Step("budget", None, f"not reached ({d.recipe.budget})")
    where = ""
    if d.recipe.policy in BALANCED and d.scores.group is not None:
        inside &= d.scores.group == d.scores.group[row]
        kept = int(np.count_nonzero(inside & d.subset.mask))
        where = f"group {int(d.scores.group[row])} keeps {kept:,} of {int(inside.sum()):,}; "
    return Step("budget", bool(d.subset.mask[row]), where + _line(d, row, inside))


def _line(d: Decided, row: int, inside: MaskN) -> str:
    """Where the budget line is and on which side of it the sample stands."""
    value, kept = d.scores.value, d.subset.mask
    if not (inside & ~kept).any():
        return "the budget has room for all that is left"
    if not (inside & kept).any():
        return "the budget takes none of them"
    last, first = value[inside & kept].min(), value[inside & ~kept].max()
    if last < first:
        place = np.flatnonzero(d.subset.chosen == row)
        taken = f"taken as number {int(place[0]) + 1:,}" if len(place) else "not taken"
        return f"{taken} by {d.recipe.policy.replace('_', ' ')}, which does not cut at one score"
    other = first if kept[row] else last
    side = "above the first that did not fit" if kept[row] else "below the last that fits"
    gap = shown(abs(value[row] - other))
    return f"budget line at score {shown(last)}; {gap} {side}"
