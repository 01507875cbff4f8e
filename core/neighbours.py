"""Nearest neighbours and near-duplicates of vectors by cosine, exact.

Products of unit rows, in bf16 where that is fast, find candidates, a block of rows at a time, with
room for their largest error; each candidate's cosine is then taken in float64, pair by pair. So
block size, number of threads, number format and order of the rows change nothing, and equal rows
have equal cosines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.compiled import compiled
from core.domain import IntN
from core.engines.hardware import fast_bf16
from core.errors import MethodError

Vectors = NDArray[Any]  # (n, d)
CELLS = 2**22  # cosines of one block of rows, 16 MB
GROUPS = 256  # of columns, at least, whose highest cosines bound the k-th from below
PAIRS = 2**22  # pairs kept before they are thinned to a forest
SLACK = 1e-5  # far above the error of a float32 product of unit rows


@dataclass(frozen=True)
class Links:
    """The pairs that are needed to say, for any threshold from `floor` on, who is connected.

    A spanning forest of all pairs with a similarity of at least `floor`, the most similar pairs
    first: at most n - 1 of them, and cutting it at any threshold leaves the same groups as
    cutting all pairs would. `a` < `b` (e,) are positions, `similarity` (e,) float64.
    """

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    similarity: NDArray[np.float64]
    floor: float

    def groups(self, n: int, threshold: float) -> IntN:
        """Connected components of the pairs with a similarity of at least `threshold`.

        Chains count: two ends of a group may be less similar than the threshold.

        Returns: (n,) the first position of the row's group, its representative; -1 for a row
        that is alone.

        Raises:
            MethodError: the threshold is below the floor, where pairs are not known.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not self.floor <= threshold <= 1:
            do = f"Give a number from {self.floor:g} to 1; below it no pairs are kept."
            raise MethodError("threshold", "is out of bounds", got=threshold, do=do)
        near = self.similarity >= threshold
        ones = np.ones(int(near.sum()), np.int8)
        graph = coo_array((ones, (self.a[near], self.b[near])), shape=(n, n))
        component = connected_components(graph, directed=False)[1]
        _, first, size = np.unique(component, return_index=True, return_counts=True)
        return np.where(size[component] > 1, first[component], -1).astype(np.int64)


def unit_rows(vectors: Vectors) -> NDArray[np.float32]:
    """Rows (n, d) of length 1; a zero row stays zero."""
    rows = np.array(vectors, np.float32, order="C")
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    rows /= np.where(length > 0, length, 1)[:, None].astype(np.float32)
    return rows


def nearest(
    vectors: Vectors, k: int, among: Vectors | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k rows of the highest cosine to each row, itself left out; exact.

    Among equal cosines the lower position comes first. With `among` (m, d) neighbours are
    looked for there, and nothing is left out. Costs n * m * d products, and `CELLS` cosines of
    memory, whatever n is.

    Returns: positions (n, k) int32 and cosines (n, k) float32, nearest first; -1 and NaN where
    there are fewer than k other rows.
    """
    rows = unit_rows(vectors)
    base = rows if among is None else unit_rows(among)
    there = min(k, len(base) - (among is None))
    positions = np.full((len(rows), k), -1, np.int32)
    cosines = np.full((len(rows), k), np.nan, np.float32)
    if there < 1:
        return positions, cosines
    for start, tile, error in _tiles(rows, base):
        if among is None:
            own = np.arange(len(tile))
            tile[own, start + own] = -2  # below any cosine
        near = tile >= _least(tile, there)[:, None] - 2 * error
        row, col = np.divmod(np.flatnonzero(near), len(base))
        cosine = _cosines(rows, base, start + row, col)
        order = np.lexsort((-cosine, row))  # stable: among equal ones the lower position
        ends = np.searchsorted(row, np.arange(len(tile)))  # `row` is sorted, before and after
        taken = order[ends[:, None] + np.arange(there)]
        positions[start : start + len(tile), :there] = col[taken]
        cosines[start : start + len(tile), :there] = cosine[taken]
    return positions, cosines


def _least(tile: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A number (b,) that at least k cosines of each row of (b, m) reach, and hardly more do.

    The k-th highest of the maxima of groups of columns: each is one cosine, and the k highest
    are mostly alone in their groups. One pass over the tile where a partition takes many.
    """
    import torch

    cosines = torch.from_numpy(tile)
    groups = max(GROUPS, 16 * k)
    each = tile.shape[1] // groups
    if each > 1:
        cosines = cosines[:, : each * groups].unflatten(1, (each, groups)).amax(1)
    return np.asarray(torch.topk(cosines, k, dim=1).values[:, -1].numpy())


def links(vectors: Vectors, floor: float) -> Links:
    """Links between all rows (n, d) whose cosine is at least `floor`; exact, see `Links`."""
    rows = unit_rows(vectors)
    kept: list[Links] = []
    for start, tile, error in _tiles(rows, rows, upper=True):
        row, col = np.divmod(np.flatnonzero(tile >= floor - error), tile.shape[1])
        a, b = start + row[col > row], start + col[col > row]
        cosine = _cosines(rows, rows, a, b)
        near = cosine >= floor
        kept.append(Links(a[near].astype(np.int32), b[near].astype(np.int32), cosine[near], floor))
        if sum(len(part.a) for part in kept) > PAIRS:
            kept = [thinned(kept, len(rows), floor)]
    return thinned(kept, len(rows), floor)


def by_cosine(vectors: Vectors, threshold: float) -> IntN:
    """Near-duplicate groups (n,) at this cosine; see `Links.groups`."""
    return links(vectors, threshold).groups(len(vectors), threshold)


def thinned(parts: list[Links], n: int, floor: float) -> Links:
    """The spanning forest of all pairs of the parts, most similar first, then by position."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    a = np.concatenate([np.empty(0, np.int32), *(part.a for part in parts)])
    b = np.concatenate([np.empty(0, np.int32), *(part.b for part in parts)])
    similarity = np.concatenate([np.empty(0), *(part.similarity for part in parts)])
    order = np.lexsort((b, a, -similarity))
    a, b, similarity = a[order], b[order], similarity[order]
    # Ranks as weights: no two are equal, so there is one tree, and they lead back to the pairs.
    rank = np.arange(1, len(a) + 1, dtype=np.float64)
    tree = minimum_spanning_tree(coo_array((rank, (a, b)), shape=(n, n)).tocsr()) if n else None
    kept = np.sort(tree.data).astype(np.int64) - 1 if tree is not None else np.empty(0, np.int64)
    return Links(a[kept], b[kept], similarity[kept], floor)


def _tiles(
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


def _cosines(
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
