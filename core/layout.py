"""UMAP's layout: points of a weighted graph in the plane, by attraction and sampled repulsion.

As umap-learn does it, on one thread: an edge of weight w is drawn together in w / max(w) of the
passes, and each time its first end is pushed from `PUSHES` random points; the step falls from 1
to 0. Nearness in the plane is 1 / (1 + A d^2): with the exponent of the distance 1, where
umap-learn fits 0.9, no power is computed, which is most of a pass there.
McInnes, Healy and Melville, arXiv 1802.03426.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.compiled import compiled

A = 1.58  # of umap-learn's curve for min_dist 0.1
PUSHES = 5
SPAN = 10.0  # of the starting places
WORK = 1_000_000  # points moved in all passes together, about
PASSES = (50, 500)  # fewest and most


def layout(graph: Any, start: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Places (n, 2) of the nodes of a symmetric sparse matrix (n, n), from `start` (n, 2)."""
    n = len(start)
    passes = int(np.clip(WORK // n, *PASSES))
    edges = graph.tocoo()
    strong = edges.data >= edges.data.max() / passes  # others would never be drawn
    every = (edges.data.max() / edges.data[strong]).astype(np.float32)
    low, span = start.min(axis=0), np.ptp(start, axis=0)
    noise = np.random.default_rng(seed).normal(0, 1e-3, start.shape)  # parts equal places
    places = (SPAN * (start - low) / span + noise).astype(np.float32)
    first, second = (side[strong].astype(np.int32) for side in (edges.row, edges.col))
    _moving()(places, first, second, every, passes, np.uint64(seed))
    return np.asarray(places)


@cache
def _moving() -> Any:
    return compiled(_move)


def _move(
    places: NDArray[np.float32],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    every: NDArray[np.float32],
    passes: int,
    seed: np.uint64,
) -> None:
    """All passes over the edges, in place; `every` so many passes an edge is drawn together."""
    n = np.uint64(len(places))
    state = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x2545F4914F6CDD1D)
    due = every.copy()
    most, a = np.float32(4), np.float32(A)
    one, two, bit = np.float32(1), np.float32(2), np.float32(1e-3)
    for number in range(1, passes + 1):
        step = one - np.float32(number - 1) / np.float32(passes)
        for edge in range(len(first)):
            if due[edge] > number:
                continue
            due[edge] += every[edge]
            i, j = first[edge], second[edge]
            dx, dy = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
            pull = two * a / (one + a * (dx * dx + dy * dy))
            mx = step * min(max(pull * dx, -most), most)
            my = step * min(max(pull * dy, -most), most)
            places[j, 0] += mx
            places[j, 1] += my
            x, y = places[i, 0] - mx, places[i, 1] - my
            for _ in range(PUSHES):
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                k = np.int64(((state >> np.uint64(32)) * n) >> np.uint64(32))
                dx, dy = x - places[k, 0], y - places[k, 1]
                far = dx * dx + dy * dy
                push = two / ((bit + far) * (one + a * far))
                x += step * min(max(push * dx, -most), most)
                y += step * min(max(push * dy, -most), most)
            places[i, 0], places[i, 1] = x, y
