"""How fragile a subset is: what it becomes while one threshold moves over its range.

At each place of the threshold the recipe is applied again, all else as it is: the share of the
pool that is kept, and the Jaccard index with the present subset (1: the same samples).

Exact where `bench` can rank once or the pool is small; else on a sample, and the curve says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.bench import Bench, is_ranked, ranked_keeper, within
from core.domain import FloatN, MaskN, Scores
from core.errors import SFTLensError
from core.policies.budget import Budget
from core.rules import Among, Range, Rule

PLACES = 21  # of a threshold
TAIL = 0.005  # share of a column's ends that its range leaves out
End = Literal["low", "high"]


@dataclass(frozen=True)
class Curve:
    """What a subset becomes as one threshold moves; (g,) arrays, one number a place.

    `at`: places in ascending order, `now` among them. `kept`: share of the pool, 0..1. `alike`:
    Jaccard index with the present subset. `sampled`: how many samples were looked at.
    """

    name: str
    at: FloatN
    kept: FloatN
    alike: FloatN
    now: float
    sampled: int

    @property
    def idle(self) -> bool:
        """Whether the subset is the same at every place."""
        return bool((self.alike == 1).all())

    @property
    def fragility(self) -> float:
        """The largest part of the subset, 0..1, that a step to a neighbouring place exchanges.

        A step is about a twentieth of the threshold's range.
        """
        i = int(np.argmin(np.abs(self.at - self.now)))
        near = self.alike[max(0, i - 1) : i + 2]
        return float(1 - near.min()) if len(near) else 0.0


def places(low: float, high: float, now: float) -> FloatN:
    """Up to `PLACES` places from low to high, `now` among them, ascending.

    A place that rounding alone parts from `now` would be the same threshold twice.
    """
    at = np.linspace(low, high, PLACES - 1)
    apart = np.abs(at - now) > 1e-6 * max(high - low, abs(now))
    return np.unique(np.append(at[apart], now))


def column_places(column: FloatN, now: float) -> FloatN:
    """Places over a column (n,) without the outermost half per cent at either end."""
    known = column[np.isfinite(column)]
    if not len(known):
        return np.array([now])
    low, high = np.quantile(known, [TAIL, 1 - TAIL])
    return places(float(low), float(high), now)


def jaccard(a: MaskN, b: MaskN) -> float:
    """Shared samples of all that either has; 1 where both are empty."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


def over(on: Bench, name: str, at: FloatN, now: float, kept: Callable[[float], MaskN]) -> Curve:
    """The curve of a threshold at which `kept` says what is kept.

    A place at which the recipe cannot be applied, as where a chosen band is empty, is left out.
    """
    present = kept(now)
    share, alike, possible = [], [], []
    for place in at.tolist():
        try:
            mask = kept(place)
        except SFTLensError:
            continue
        possible.append(place)
        share.append(float(mask.mean()) if len(mask) else 0.0)
        alike.append(jaccard(mask, present))
    where, kept_share, same = (np.array(column, float) for column in (possible, share, alike))
    return Curve(name, where, kept_share, same, now, len(on.rows))


def rule_curve(on: Bench, i: int, end: End, column: FloatN) -> Curve:
    """One end of the i-th rule, a `Range` on `column` (n,) of the whole pool."""
    rule = on.recipe.rules[i]
    assert isinstance(rule, Range)
    mine, now = column[on.rows], getattr(rule, end)
    name = f"{rule.column.replace('_', ' ')} {'≥' if end == 'low' else '≤'}"

    def passed(place: float) -> MaskN:
        ends = {"low": rule.low, "high": rule.high} | {end: place}
        return within(mine, ends["low"], ends["high"])

    if is_ranked(on.recipe):
        kept = ranked_keeper(on, leave_out=i)
        return over(on, name, column_places(column, now), now, lambda at: kept(passed(at)))

    def again(place: float) -> MaskN:
        masks = (*on.facts.passed[:i], passed(place), *on.facts.passed[i + 1 :])
        return on.apply(on.recipe, on.scores, replace(on.facts, passed=masks))

    return over(on, name, column_places(column, now), now, again)


def budget_curve(on: Bench) -> Curve:
    """The budget, in per cent of the pool's samples or of its response tokens."""
    budget = Budget.parse(on.recipe.budget)
    tokens = on.facts.n_tokens
    whole = len(on.rows) if budget.unit == "samples" or tokens is None else np.nansum(tokens)
    now = float(budget.amount) if budget.share else 100 * float(budget.amount) / max(whole, 1)
    tail = "% tokens" if budget.unit == "tokens" else "%"
    name = f"budget, % of the {'response tokens' if budget.unit == 'tokens' else 'samples'}"

    def asked(place: float) -> Budget:
        return budget if place == now else Budget.parse(f"{place:.6f}{tail}")

    most = min(100.0, max(2 * now, 10.0))
    at = places(most / (PLACES - 1), most, now)
    if is_ranked(on.recipe):
        kept = ranked_keeper(on)
        everyone = np.ones(len(on.rows), bool)
        return over(on, name, at, now, lambda place: kept(everyone, asked(place)))
    return over(
        on,
        name,
        at,
        now,
        lambda place: on.apply(
            on.recipe.model_copy(update={"budget": str(asked(place))}), on.scores, on.facts
        ),
    )


def knob_places(low: float, high: float, now: float, *, whole: bool) -> FloatN:
    """Places of a parameter between its bounds; an open or a far one stands at twice its value."""
    near = max(2 * abs(now), 20.0 if whole else 0.0) or 1.0
    bottom = low if low > -np.inf else now - near
    top = high if high <= max(1.0, near) else max(near, bottom + 1)
    at = places(bottom, top, now)
    return np.unique(np.round(at)) if whole else at


def knob_curve(
    on: Bench, name: str, at: Sequence[float], rescore: Callable[[float], Scores], now: float
) -> Curve:
    """A live parameter of the method; `rescore` scores the bench's rows under its value."""

    def again(place: float) -> MaskN:
        scores = replace(rescore(place), features=on.scores.features)
        pairs = zip(on.recipe.rules, on.facts.passed, strict=True)
        passed = tuple(passed_live(rule, scores, mask) for rule, mask in pairs)
        return on.apply(on.recipe, scores, replace(on.facts, passed=passed))

    return over(on, name.replace("_", " "), np.asarray(at, float), now, again)


def passed_live(rule: Rule, scores: Scores, mask: MaskN) -> MaskN:
    """(n,) who passes a rule under other scores: `mask`, unless it reads what they change."""
    live: Mapping[str, NDArray[Any]] = {**scores.diagnostics, "score": scores.value}
    if isinstance(rule, Range) and not rule.run and rule.column in live:
        return within(live[rule.column], rule.low, rule.high)
    if isinstance(rule, Among) and rule.column == "group" and scores.group is not None:
        inside = np.isin(scores.group, [int(v) for v in rule.values if v.lstrip("-").isdigit()])
        return inside if rule.keep else ~inside
    return mask
