"""Near-duplicates of a mapped pool, from the pairs that its map keeps."""

import numpy as np
from numpy.typing import NDArray

from core import store
from core.domain import IntN
from core.store import maps as stored
from core.store.maps import By

DEFAULT = {"cosine": 0.95, "minhash": 0.7}  # thresholds of near-duplicates


def groups(name: str, threshold: float | None = None, by: By = "cosine") -> IntN:
    """Near-duplicate groups (n,) of the newest map of a pool's instructions; no vector is read.

    Returns: the position of each sample's representative, the first of its group in pool order;
    -1 for a sample that is alone.

    Raises:
        RunError: the pool has no map yet.
        MethodError: the threshold is below the floor from which pairs are kept.
    """
    with store.connect() as con:
        newest = stored.newest_map(con, name)
        links = stored.map_links(con, newest.map_id, by)
    return links.groups(newest.n, DEFAULT[by] if threshold is None else threshold)


def members(group: IntN) -> list[NDArray[np.int64]]:
    """The positions of each group, its representative first; the largest group first."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    parts = np.split(order, cuts) if len(order) else []
    return sorted(parts, key=lambda part: (-len(part), part[0]))
