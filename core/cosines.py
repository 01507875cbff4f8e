"""Cosines of many rows, in two steps.

Products of unit rows, in bf16 where that is fast, say which pairs may be near, a block of rows at
a time; each such pair's cosine is then taken in float64, pair by pair. So block size, number of
threads, number format and order of the rows change nothing, and equal rows have equal cosines.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.compiled import compiled
from core.domain import IntN
from core.engines.hardware import fast_bf16

Vectors = NDArray[Any]  # (n, d)
CELLS = 2**22  # cosines of one block of rows, 16 MB
SLACK = 1e-5  # far above the error of a float32 product of unit rows


def unit_rows(vectors: Vectors) -> NDArray[np.float32]:
    """Rows (n, d) of length 1; a zero row stays zero."""
    rows = np.array(vectors, np.float32, order="C")
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    rows /= np.where(length > 0, length, 1)[:, None].astype(np.float32)
    return rows


def tiles(
    rows: NDArray[np.float32], base: NDArray[np.float32], *, upper: bool = False
) -> Iterator[tuple[int, NDArray[np.float32], float]]:
    """Blocks of the product (n, m): the row they start at, the cosines, and their largest error.

    `upper`: columns from the starting row on. In bf16 where the hardware multiplies it fast; the
    error is then what rounding the rows, and the product, can amount to. A block is only good
    until the next one is asked for.
    """
    import torch

    height = max(1, CELLS // max(1, len(base)))
    held = np.empty((min(height, len(rows)), len(base)), np.float32)
    left, right, error = _factors(rows, base)
    for start in range(0, len(rows), height):
        columns = right[start if upper else 0 :]
        block = left[start : start + height]
        tile = held.ravel()[: len(block) * len(columns)].reshape(len(block), len(columns))
        torch.from_numpy(tile).copy_(torch.mm(block, columns.T))
        yield start, tile, error


def _factors(rows: NDArray[np.float32], base: NDArray[np.float32]) -> tuple[Any, Any, float]:
    """Unit rows as tensors to multiply, and how far a product of them may be off."""
    import torch

    left, right = torch.from_numpy(rows), torch.from_numpy(base)
    if not fast_bf16("cpu"):
        return left, right, SLACK
    rounded = left.bfloat16(), right.bfloat16()
    # |xy - x'y'| <= |x - x'| |y| + |x'| |y - y'|, and the result is rounded to bf16 once more
    off = [
        float(torch.linalg.vector_norm(whole - part.float(), dim=1).numpy().max(initial=0))
        for whole, part in zip((left, right), rounded, strict=True)
    ]
    return *rounded, off[0] + (1 + off[0]) * off[1] + 2**-9 + 1e-4


def cosines_of(
    rows: NDArray[np.float32], base: NDArray[np.float32], row: IntN, col: IntN
) -> NDArray[np.float64]:
    """Cosine of each pair in float64, the same whatever stands around it."""
    out = np.empty(len(row))
    _multiplying()(rows, base, row, col, out)
    return np.minimum(out, 1.0)


@cache
def _multiplying() -> Any:
    return compiled(_multiply)


def _multiply(
    rows: NDArray[np.float32],
    base: NDArray[np.float32],
    row: IntN,
    col: IntN,
    out: NDArray[np.float64],
) -> None:
    """Products of pairs of rows, each by a loop of its own."""
    for pair in range(len(row)):
        left, right = rows[row[pair]], base[col[pair]]
        total = 0.0
        for place in range(left.shape[0]):
            total += np.float64(left[place]) * np.float64(right[place])
        out[pair] = total
