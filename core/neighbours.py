"""Nearest neighbours and near-duplicates of vectors by cosine, exact.

A fast product finds candidates, with room for its largest error; each candidate's cosine is then
taken in float64. See `core.cosines`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.cosines import Vectors, cosines_of, tiles, unit_rows
from core.domain import IntN
from core.errors import MethodError

GROUPS = 256  # of columns, at least, whose highest cosines bound the k-th from below
PAIRS = 2**22  # pairs kept before they are thinned to a forest


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


def nearest(
    vectors: Vectors, k: int, among: Vectors | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k rows of the highest cosine to each row, itself left out; exact.

    Among equal cosines the lower position comes first. With `among` (m, d) neighbours are
    looked for there, and nothing is left out. Costs n * m * d products, and the memory of one
    block of cosines, whatever n is.

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
    for start, tile, error in tiles(rows, base):
        if among is None:
            own = np.arange(len(tile))
            tile[own, start + own] = -2  # below any cosine
        near = tile >= _least(tile, there)[:, None] - 2 * error
        row, col = np.divmod(np.flatnonzero(near), len(base))
        cosine = cosines_of(rows, base, start + row, col)
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
    for start, tile, error in tiles(rows, rows, upper=True):
        row, col = np.divmod(np.flatnonzero(tile >= floor - error), tile.shape[1])
        a, b = start + row[col > row], start + col[col > row]
        cosine = cosines_of(rows, rows, a, b)
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
