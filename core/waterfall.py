"""What each step of a recipe removes: in its place, after the steps before it, and alone."""

from dataclasses import dataclass

import numpy as np

from core.domain import Scores
from core.recipe import Recipe
from core.subset import Facts, Subset, apply


@dataclass(frozen=True)
class Step:
    """One step: the reason it gives, and the samples that it removes.

    `in_order`: of those that the steps before it left. `alone`: if it were the only step. What
    steps remove in order adds up to all that is dropped; what they remove alone overlaps.
    """

    reason: str
    in_order: int
    alone: int


def waterfall(recipe: Recipe, scores: Scores, facts: Facts, subset: Subset) -> list[Step]:
    """The steps of a subset that was made by `apply(recipe, scores, facts)`, in their order.

    Samples without a score can be kept by no policy, so the budget alone is that of the others.
    """
    alone = {f"not scored: {name}": int(m.sum()) for name, m in scores.excluded.items()}
    for rule, passed in zip(recipe.rules, facts.passed, strict=True):
        alone[f"rule: {rule}"] = int((~passed).sum())
    alone["dropped by hand"] = len(facts.pinned[1])
    scored = np.isfinite(scores.value)
    if recipe.distinct is not None and facts.duplicates is not None:
        group = facts.duplicates[scored & (facts.duplicates >= 0)]
        alone[f"rule: {recipe.distinct}"] = len(group) - len(np.unique(group))
    for name, most in recipe.quotas.items():
        alone[f"quota: {most:,} of {name}"] = _over(scores, facts, name, most)
    steps = subset.steps()
    over = steps[-1][0] if steps else ""
    bare: dict[str, object] = {"rules": (), "distinct": None, "quotas": {}, "pins": ()}
    known = Facts((), facts.n_tokens, facts.source, facts.sources, facts.id_hash)
    plain = apply(recipe.model_copy(update=bare), scores, known)
    alone.setdefault(over, int(scored.sum()) - len(plain.chosen))
    return [Step(name, size, alone.get(name, size)) for name, size in steps]


def _over(scores: Scores, facts: Facts, name: str, most: int) -> int:
    """Scored samples of a source beyond its quota."""
    if facts.source is None or name not in facts.sources:
        return 0
    mine = facts.source == list(facts.sources).index(name)
    return max(0, int((mine & np.isfinite(scores.value)).sum()) - most)
