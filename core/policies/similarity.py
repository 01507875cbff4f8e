"""What the policies that choose by query have in common."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN
from core.errors import BudgetError
from core.policies import Candidates, Chosen, affordable, price
from core.policies.budget import Budget

Similarity = NDArray[np.floating]  # (n, m), higher is closer
LOOKED_AT = 4096  # rows, evenly taken, that say how close the k-th is about
CELLS = 2**20  # similarities compared at once: what stays in the processor's cache


def closeness(candidates: Candidates, policy: str) -> tuple[IntN, Similarity]:
    """The rows that can be chosen (e,), and their similarity to each query (e, m).

    Raises:
        BudgetError: there is no query, or a similarity is not a finite number.
    """
    assert candidates.similarity is not None  # `needs`
    rows = candidates.rows
    found = candidates.similarity[rows]
    if found.shape[1] == 0:
        do = "Score with a query set that holds samples."
        raise BudgetError(f"--policy {policy}", "there are no queries to choose by", do=do)
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        where = f"sample {int(rows[bad[0, 0]]):,} to query {int(bad[0, 1]):,}"
        do = "Exclude the sample with a rule, or choose another policy, e.g. top."
        what = "the similarity of a sample that can be chosen is not a finite number"
        raise BudgetError(f"--policy {policy}", what, got=where, do=do)
    return rows, found


def fitting(candidates: Candidates, budget: Budget) -> int:
    """The most samples that any subset within the budget holds: so much of an order is needed."""
    cost, limit = price(candidates, budget)
    rows = candidates.rows
    return len(affordable(rows[np.argsort(cost[rows], kind="stable")], cost, limit))


def nearest(similarity: Similarity, k: int) -> Iterator[IntN]:
    """For each query, the k closest samples, closest first; equal ones in pool order.

    Only what is at least as close as the k-th is sorted: O(n + k log k) a query.
    """
    k = min(k, len(similarity))
    for column in np.ascontiguousarray(similarity.T):
        if k == 0:
            yield np.array([], np.int64)
            continue
        near = np.flatnonzero(column >= np.partition(column, -k)[-k])
        yield near[np.argsort(-column[near], kind="stable")[:k]]


def closest(similarity: Similarity, k: int) -> list[IntN]:
    """For each query, at least its k closest samples, closest first; equal ones in pool order.

    As `nearest`, by reading (n, m) once, row after row, in place of a scan of each column: some
    rows say what is close enough, and only that is sorted. Where they misled, or k is a large
    part of the pool, `nearest` answers.
    """
    n, m = similarity.shape
    few = similarity[:: max(1, n // LOOKED_AT)]
    expected = k * len(few) / max(n, 1)
    rank = int(expected + 4 * np.sqrt(expected) + 4)  # four standard deviations on the safe side
    if 2 * rank >= len(few):
        return list(nearest(similarity, k))
    floor = np.partition(few, -rank, axis=0)[-rank]
    step = max(1, CELLS // m)
    near = [
        start * m + np.flatnonzero(similarity[start : start + step] >= floor)
        for start in range(0, n, step)
    ]
    row, query = np.divmod(np.concatenate(near), m)
    sizes = np.bincount(query, minlength=m)
    if sizes.min() < k:
        return list(nearest(similarity, k))
    order = np.lexsort((-similarity[row, query], query))  # stable: equal ones in pool order
    return np.split(row[order], np.cumsum(sizes)[:-1])


def by_mass(rows: IntN, mass: FloatN, candidates: Candidates, budget: Budget) -> Chosen:
    """The samples with the largest `mass` (e,); a note where a tie decides what is kept."""
    order = np.argsort(-mass, kind="stable")
    cost, limit = price(candidates, budget)
    chosen = affordable(rows[order], cost, limit)
    if not 0 < len(chosen) < len(rows):
        return Chosen(chosen)
    last, following = mass[order[len(chosen) - 1]], mass[order[len(chosen)]]
    ties = int((mass == last).sum())
    note = f"{ties:,} samples are equal at the budget's end; pool order decides which are kept."
    return Chosen(chosen, (note,) if last == following else ())
