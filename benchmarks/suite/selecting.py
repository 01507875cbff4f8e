"""Choosing: queries in turns without a scan a pick, and the match of a pool with its queries."""

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from benchmarks.suite.bench import Bench, Row
from core.influence import similarity
from core.policies.round_robin import round_robin

QUERIES, WIDTH = 16, 8192  # of the demo's query set, and of a sketched gradient
TOP = 20


def scan(closeness: NDArray[np.float32], most: int) -> list[int]:
    """The reference: for each pick, look at all N for the closest that is not taken; (m, n)."""
    taken = np.zeros(closeness.shape[1], bool)
    order: list[int] = []
    for query in cycle(range(len(closeness))):
        if len(order) == most:
            break
        pick = int(np.where(taken, -np.inf, closeness[query]).argmax())
        taken[pick] = True
        order.append(pick)
    return order


def turns(bench: Bench) -> Iterator[Row]:
    """B4e: round robin of 200k samples, 2,000 picks; the same picks."""
    n, picks = 200_000, 2000
    ours = np.random.default_rng(0).standard_normal((n, QUERIES), dtype=np.float32)
    theirs = np.ascontiguousarray(ours.T)  # each query's row lies together, as a scan wants it
    gate = round_robin(ours, picks).tolist() == scan(theirs, picks)
    race = bench.race(
        lambda: round_robin(ours, picks), lambda: scan(theirs, picks), bench.size(3, 7)
    )
    what = f"round robin, {n:,} samples, {QUERIES} queries, {picks:,} picks, against a scan a pick"
    yield bench.row("b4e", what, race.ratio, 20.0, gate)


def match(bench: Bench) -> Iterator[Row]:
    """B4d: sketched gradients against queries, bytes a second over what memory gives; top k."""
    n = bench.size(4000, 16_000)
    rng = np.random.default_rng(0)
    pool = (rng.standard_normal((n, WIDTH), dtype=np.float32) / WIDTH**0.5).astype(np.float16)
    query = (rng.standard_normal((QUERIES, WIDTH), dtype=np.float32) / WIDTH**0.5).astype(
        np.float16
    )
    whole = pool.view(np.int64)
    found = similarity(pool, query)
    true = pool.astype(np.float64) @ query.astype(np.float64).T
    gate = bool((top(found) == top(true)).all())
    race = bench.race(lambda: similarity(pool, query), lambda: whole.sum())
    floor_s = max(race.theirs_s, 2 * n * QUERIES * WIDTH / (race.ceiling * 1e9))
    speed = pool.nbytes / race.ours_s / 1e9
    note = f"{speed:.1f} GB/s of float16, summed in float64 so that no order of the pool shows"
    what = f"match of {n:,} gradients with {QUERIES} queries, over reading them once"
    yield bench.row("b4d", what, race.ratio, 0.7, gate, fraction=floor_s / race.ours_s, note=note)


def top(closeness: NDArray[np.floating]) -> NDArray[np.int64]:
    """The closest `TOP` of each query, (TOP, m)."""
    return np.argsort(-closeness, axis=0, kind="stable")[:TOP]


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {"b4d": match, "b4e": turns}
