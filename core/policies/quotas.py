"""Every group its part of the budget, and the best of each group."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import FloatN, IntN
from core.policies import Candidates, Chosen, Policy, affordable, price
from core.policies.budget import Budget
from core.policies.top import ranked

Part = Literal["top", "middle", "bottom"]


class Quotas(Policy):
    """The best of each group, each group in proportion to its size.

    A subset then covers what the pool covers. In tokens a group's size and quota count tokens;
    what no group could spend goes to the best samples that are left.
    """

    name = "quotas"
    title = "Best of each group, by its size"
    source = "ADG (arXiv 2604.10448)"
    needs = frozenset({"group"})

    rule: Literal["remainder", "adg"] = Field(
        "remainder",
        description="rounding of the quotas: by the largest remainder, so that they add up to the"
        " budget, or as ADG's code does, which spends less (at least 1 and at most a third of a"
        " group, groups below 3 samples left out)",
    )

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Best first over all groups, equal values in pool order; ADG's rule group by group."""
        assert candidates.group is not None  # `needs`
        cost, limit = price(candidates, budget)
        order = ranked(candidates.value)
        if self.rule == "adg":
            taken = adg_part(candidates.value, candidates.group, cost, limit)
            short = limit - int(cost[taken].sum())
            note = f"ADG's rounding leaves {short:,} of {limit:,} {budget.unit} unspent."
            return Chosen(taken, (note,) if short else ())
        _, group = np.unique(candidates.group, return_inverse=True)
        sizes = np.bincount(group[order], cost[order]).astype(np.int64).tolist()
        quota = np.array(apportion(sizes, sizes, limit))
        return Chosen(within(order, group, cost, quota, limit))


def apportion(weights: Sequence[int], caps: Sequence[int], total: int) -> list[int]:
    """Whole quotas in proportion to `weights`, none above its cap, by the largest remainder.

    They add up to `total`, or to all caps of a positive weight where these hold less. What a
    full one cannot take is shared out among the others; equal remainders favour the earlier.
    Exact: no number is ever a float.
    """
    quotas = [0] * len(weights)
    room = [i for i, weight in enumerate(weights) if weight > 0]
    while room:
        whole = sum(weights[i] for i in room)
        full = [i for i in room if total * weights[i] >= caps[i] * whole]
        if not full:
            break
        for i in full:
            quotas[i] = caps[i]
        total -= sum(caps[i] for i in full)
        room = [i for i in room if i not in set(full)]
    for i in room:
        quotas[i] = total * weights[i] // whole
    rest = total - sum(quotas[i] for i in room)
    by_remainder = sorted(room, key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[:rest]:
        quotas[i] += 1
    return quotas


def within(order: IntN, group: IntN, cost: FloatN, quota: IntN, limit: int) -> IntN:
    """Of `order`, the first of each group that its quota pays for; what is left buys the next.

    `group` (n,) counts from 0, `quota` has one number a group. The answer keeps the order.
    """
    by_group = np.argsort(group[order], kind="stable")
    groups, paid = group[order][by_group], cost[order][by_group]
    spent = np.cumsum(paid)
    first = np.searchsorted(groups, groups)  # where each one's group begins
    spent_in_group = spent - (spent - paid)[first]
    taken = np.zeros(len(order), bool)
    taken[by_group] = spent_in_group <= quota[groups]
    rest = limit - int(cost[order[taken]].sum())
    extra = affordable(np.flatnonzero(~taken), cost[order], rest)
    taken[extra] = True
    return order[taken]


def split(rows: IntN, label: IntN) -> list[IntN]:
    """`rows` by their label, smallest label first, rows in their order."""
    by_label = rows[np.argsort(label[rows], kind="stable")]
    _, first = np.unique(label[by_label], return_index=True)
    return np.split(by_label, first[1:]) if len(rows) else []


def adg_part(value: FloatN, group: IntN, cost: FloatN, limit: int, part: Part = "top") -> IntN:
    """The best, the middle or the worst of every group, as ADG's code takes them.

    Groups come in the order in which they first appear in the pool. A group of c samples gives
    q = max(1, int(c r)) to each part, r being the share that `limit` is of all costs; where three
    parts do not fit, top and bottom get max(1, int(q c / 3q)) and the middle the rest. A group
    below 3 is all middle. What then costs more than `limit` is cut to the best (bottom: the
    worst); what costs less stays short. All arrays are (n,); a value of NaN takes no part.
    """
    order = ranked(value)
    total = cost[order].sum()
    share = limit / total if total else 0.0
    groups = sorted(split(order, group), key=lambda rows: int(rows.min()))
    taken = np.concatenate([order[:0], *(_adg_slice(rows, share, part) for rows in groups)])
    if cost[taken].sum() > limit:
        key = value[taken] if part == "bottom" else -value[taken]
        taken = affordable(taken[np.argsort(key, kind="stable")], cost, limit)
    return taken


def _adg_slice(rows: IntN, share: float, part: Part) -> IntN:
    """One part of a group whose rows are given best first."""
    c = len(rows)
    if c < 3:
        return rows if part == "middle" else rows[:0]
    ends = middle = max(1, int(c * share))
    if 3 * ends > c:
        ends = max(1, int(ends * (c / (3 * ends))))
        middle = max(0, c - 2 * ends)
    if part == "top":
        return rows[:ends]
    if part == "bottom":
        return rows[c - ends :]
    between = rows[ends : c - ends]
    start = (len(between) - middle) // 2
    return between[start : start + middle]
