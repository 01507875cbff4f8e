"""An audit of a subset: which samples to judge, and what their verdicts say of the rest.

The queue has two kinds of strata. `kept` and `dropped` are random draws from all kept and from
all dropped samples, so shares among them estimate the shares in the pool. `borderline` (nearest
the budget line) and `disagreement` (where methods rank most differently) are chosen for what
they teach; they say nothing of the rest and never enter an estimate. Random draws come first,
and no sample is in the queue twice.

A random draw that is judged in part is still random as far as it was judged in the queue's
order; so an estimate reads each stratum up to its first sample without a verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN

RANDOM = ("kept", "dropped")
STRATA = (*RANDOM, "borderline", "disagreement")
ODD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


@dataclass(frozen=True)
class Queue:
    """Samples to judge, in order. `rows` (q,) positions, `stratum` (q,) index into `STRATA`.

    `sizes`: samples of the pool that each random stratum was drawn from.
    """

    rows: IntN
    stratum: IntN
    sizes: Mapping[str, int]

    def of(self, stratum: str) -> IntN:
        """The positions of one stratum, in the order of the queue."""
        found: IntN = self.rows[self.stratum == STRATA.index(stratum)]
        return found


def queue(
    kept: MaskN,
    id_hash: IntN,
    wanted: Mapping[str, int],
    seed: int,
    edge: FloatN | None = None,
    disagreement: FloatN | None = None,
) -> Queue:
    """Draw a queue. Strata are mixed, so that none shows its side, and a larger one goes on where
    the smaller one ended.

    Args:
        kept: (n,) the subset.
        id_hash: (n,) whole numbers of the samples' ids, so that no order of the pool matters.
        wanted: stratum -> samples, as many as there are at most.
        seed: of the draw; mix the recipe's key into it (see `seeded`).
        edge: (n,) score minus the budget line, NaN where a sample was not in the running.
            Half of the borderline is from either side, as far as both have samples.
        disagreement: (n,) the higher the more methods disagree, NaN where one knows the sample.
    """
    draw = scrambled(id_hash, seed)
    taken = np.zeros(len(kept), bool)
    found: list[tuple[int, IntN]] = []

    def take(stratum: str, rows: IntN) -> None:
        taken[rows] = True
        found.append((STRATA.index(stratum), rows))

    for stratum, mask in zip(RANDOM, (kept, ~kept), strict=True):
        take(stratum, first(draw, mask, wanted.get(stratum, 0)))
    if edge is not None:
        far, count = np.abs(edge), wanted.get("borderline", 0)
        above = first(far, kept & ~taken & ~np.isnan(edge), count - count // 2)
        below = first(far, ~kept & ~taken & ~np.isnan(edge), count - len(above))
        take("borderline", np.concatenate([above, below]))
    if disagreement is not None:
        open_rows = ~taken & ~np.isnan(disagreement)
        take("disagreement", first(-disagreement, open_rows, wanted.get("disagreement", 0)))
    rows = np.concatenate([rows for _, rows in found])
    stratum_of = np.concatenate([np.full(len(rows), k, np.int64) for k, rows in found])
    chance = scrambled(id_hash, seed + 1) / 2.0**64
    place = [(np.arange(len(rows)) + chance[rows]) / max(len(rows), 1) for _, rows in found]
    order = np.argsort(np.concatenate(place), kind="stable")
    sizes = {"kept": int(kept.sum()), "dropped": int((~kept).sum())}
    return Queue(rows[order], stratum_of[order], sizes)


def seeded(seed: int, recipe_key: str) -> int:
    """A seed that is another one for another recipe; `recipe_key` is hexadecimal."""
    return (seed * 0x9E3779B97F4A7C15 + int(recipe_key, 16)) % 2**63


def scrambled(id_hash: IntN, seed: int) -> NDArray[np.uint64]:
    """A random order of the samples, (n,): an id's number mixed with the seed (splitmix64)."""
    with np.errstate(over="ignore"):
        x: NDArray[np.uint64] = np.asarray(id_hash).astype(np.uint64)
        x = x + (np.uint64(seed) + np.uint64(1)) * ODD[0]
        for shift, factor in ((30, ODD[1]), (27, ODD[2])):
            x = (x ^ (x >> np.uint64(shift))) * factor
        x ^= x >> np.uint64(31)
    return x


def first(order: NDArray[Any], mask: MaskN, count: int) -> IntN:
    """The `count` rows of a mask with the lowest numbers, lowest first; ties by position."""
    rows = np.flatnonzero(mask)
    if count <= 0 or not len(rows):
        return rows[:0]
    if count < len(rows):
        last = np.partition(order[rows], count - 1)[count - 1]
        rows = rows[order[rows] <= last]
    return rows[np.argsort(order[rows], kind="stable")][:count]


def edge(score: FloatN, kept: MaskN, running: MaskN) -> FloatN:
    """Score minus the budget line, (n,): the middle between the lowest score that was kept and
    the highest in the running that was not.

    `running` (n,): samples that every rule let through and no hand pinned; NaN for others, and
    everywhere when nothing was kept or nothing left out. Where a policy takes by group or query
    there is no one line; this one still says which scores were worth least among the kept.
    """
    out = np.full(len(score), np.nan)
    inside, outside = kept & running, ~kept & running
    if not np.isfinite(score[inside]).any() or not np.isfinite(score[outside]).any():
        return out
    line = (np.nanmin(score[inside]) + np.nanmax(score[outside])) / 2
    out[running] = score[running] - line
    return out


def disagreement(scores: Sequence[FloatN]) -> FloatN:
    """How far methods are apart on a sample, (n,), 0 to 1: its highest rank share minus its lowest.

    A rank share is the share of a method's scored samples that it ranks below, ties half. NaN
    where fewer than two methods have a score.
    """
    shares = np.stack([rank_share(score) for score in scores])  # (methods, n)
    known = (~np.isnan(shares)).sum(0)
    high = np.where(np.isnan(shares), -np.inf, shares).max(0)
    low = np.where(np.isnan(shares), np.inf, shares).min(0)
    return np.where(known >= 2, high - low, np.nan)


def rank_share(score: FloatN) -> FloatN:
    """The share of scored samples below each one, ties half, (n,); NaN where there is no score."""
    out = np.full(len(score), np.nan)
    scored = np.flatnonzero(~np.isnan(score))
    values, level, size = np.unique(score[scored], return_inverse=True, return_counts=True)
    if len(values):
        middle = np.cumsum(size) - size / 2
        out[scored] = middle[level] / len(scored)
    return out
