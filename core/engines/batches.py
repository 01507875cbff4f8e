"""Samples side by side: which of them, and padded to one rectangle."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN
from core.templates import Encoded


def pad(batch: Sequence[Encoded]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Right-pad to one rectangle: ids (b, L) and scored (b, L)."""
    width = max(len(e) for e in batch)
    ids = np.zeros((len(batch), width), np.int64)
    scored = np.zeros((len(batch), width), bool)
    for row, e in enumerate(batch):
        ids[row, : len(e)], scored[row, : len(e)] = e.ids, e.scored
    return ids, scored


def token_batches(rows: IntN, lengths: IntN, budget: int) -> Iterator[IntN]:
    """Cut rows, longest first, into batches of `budget` padded tokens at most, one row at least."""
    order = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(order):
        size = max(1, budget // max(int(lengths[order[start]]), 1))
        yield order[start : start + size]
        start += size


def shared_start(rows: Sequence[NDArray[np.int64]]) -> int:
    """How many tokens all rows begin with, at least one less than the shortest has; 0 for one."""
    if len(rows) < 2:
        return 0
    most = min(len(row) for row in rows) - 1
    differs = np.any(np.array([row[:most] for row in rows]) != rows[0][:most], axis=0)
    return int(np.argmax(differs)) if differs.any() else most
