"""The arithmetic of influence by gradients, in plain numpy: similarities, weights, aggregates.

Sources: the code of LESS (arXiv 2402.04333) and of targeted instruction selection (2602.14696).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN

ROWS = 128  # of the pool in float64 at a time


def adam_direction(
    gradient: NDArray[Any], exp_avg: NDArray[Any], exp_avg_sq: NDArray[Any]
) -> NDArray[Any]:
    """The step Adam would take from moments (P,) at gradients (..., P), learning rate aside.

    m' = 0.9 m + 0.1 g, v' = 0.999 v + 0.001 g^2, m' / sqrt(v' + 1e-8): epsilon inside the root
    and no bias correction, as in LESS's code.
    """
    first = 0.9 * exp_avg + 0.1 * gradient
    second = 0.999 * exp_avg_sq + 0.001 * gradient**2
    return np.asarray(first / np.sqrt(second + 1e-8))


def similarity(pool: NDArray[Any], query: NDArray[Any]) -> NDArray[np.float32]:
    """Products (n, m) of unit rows (n, d) and (m, d), in blocks of rows.

    Summed in float64 and rounded once, so that neither the order of the pool nor the number of
    threads shows; NaN where a row is not a number.
    """
    out = np.empty((len(pool), len(query)), np.float32)
    wide = query.astype(np.float64).T
    held = np.empty((min(ROWS, len(pool)), query.shape[1]))  # one for all blocks: it stays in cache
    for start in range(0, len(pool), ROWS):
        block = held[: len(pool) - start]
        np.copyto(block, pool[start : start + ROWS])
        np.matmul(block, wide, out=out[start : start + ROWS], casting="same_kind")
    return out


def cosines(pool: NDArray[Any], query: NDArray[Any]) -> NDArray[np.float32]:
    """`similarity` of rows of any length; 0 where a row is zero."""

    def unit(rows: NDArray[Any]) -> NDArray[np.float64]:
        wide = rows.astype(np.float64)
        return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))

    return similarity(unit(pool), unit(query))


def shares(rates: Sequence[float] | FloatN) -> FloatN:
    """Weights that add up to 1, in proportion to `rates` (t,); equal where all are zero."""
    given = np.asarray(rates, np.float64)
    total = float(given.sum())
    return np.asarray(given / total if total > 0 else np.full(len(given), 1 / len(given)))


def combined(
    each: Sequence[NDArray[np.float32]], weights: Sequence[float] | FloatN
) -> NDArray[np.float32]:
    """sum_i w_i S_i of similarities (n, m), one a checkpoint."""
    if len(each) == 1 and weights[0] == 1:
        return each[0]
    total = np.zeros(each[0].shape, np.float64)
    for part, weight in zip(each, weights, strict=True):
        total += weight * part
    return total.astype(np.float32)


def subtask_scores(closeness: NDArray[np.float32], subtasks: int) -> FloatN:
    """Score (n,) from similarities (n, m): the best mean over groups of consecutive queries.

    One group is the plain mean, m groups are the nearest query. LESS's code: mean of cosines
    within a subtask, where its paper has the cosine with the subtask's mean gradient.
    """
    n, m = closeness.shape
    groups = closeness.astype(np.float64).reshape(n, subtasks, m // subtasks)
    return np.asarray(groups.mean(2).max(1), np.float64)


def mean_rates(log: Sequence[tuple[float, float | None]], epochs: int) -> FloatN:
    """Mean learning rate (epochs,) of log entries (epoch, rate): i - 1 < epoch <= i for each i.

    Entries without a rate are left out. NaN for an epoch without any.
    """
    entries = [(epoch, rate) for epoch, rate in log if rate is not None]
    within = [[r for epoch, r in entries if i < epoch <= i + 1] for i in range(epochs)]
    return np.array([np.mean(rates) if rates else np.nan for rates in within])
