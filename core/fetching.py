"""Samples in an order that is known beforehand: few passes over the texts, few texts in memory.

Samples from all over a pool cost a pass over all of its texts, be they many or few: seconds at a
million. Blocks are such, and so is a subset in the order of choice. So who knows the order in
which samples will be asked for says so, and they are read in windows: as many passes as the
chosen texts are windows long.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from core import store
from core.domain import IntN, Pool, Sample
from core.store import samples

CHARS = 32_000_000  # of the turns in a window, about; their records come on top
ROWS = 65_536  # samples in a window, at most
Window = tuple[list[str], IntN]  # ids and positions


def in_order(pool: str, positions: IntN) -> Iterator[Sample]:
    """The samples of a pool at these positions, in this order; a window of them in memory."""
    for window in _windows(pool, positions):
        yield from _read(pool, window)


def _windows(pool: str, positions: IntN) -> Iterator[IntN]:
    """Positions cut where a window is full."""
    if not len(positions):
        return
    with store.connect() as con:
        chars = samples.n_chars(con, pool, int(positions.max()) + 1)[positions]
    ends = np.cumsum(chars)
    start = 0
    while start < len(positions):
        before = ends[start - 1] if start else 0
        full = int(np.searchsorted(ends, before + CHARS, side="right"))
        end = min(max(full, start + 1), start + ROWS)
        yield positions[start:end]
        start = end


def _read(pool: str, positions: IntN) -> list[Sample]:
    with store.connect() as con:  # closed before anything is done with them
        return samples.read_at(con, pool, positions.tolist())


class Texts:
    """Reads samples of a pool by their ids; see the module.

    Ids that are asked for as `order` has them, each once, come out of a window; others are read
    alone.
    """

    def __init__(self, pool: Pool, order: Sequence[str] = ()) -> None:
        self._pool = pool
        self._held: dict[str, Sample] = {}
        self._ahead = self._cut(order)
        self._waits = next(self._ahead, None)

    def __call__(self, ids: Sequence[str]) -> list[Sample]:
        """The samples with these ids, in the order of the ids."""
        wanted = set(ids)
        while self._waits is not None and self._waits[0][0] in wanted:
            names, positions = self._waits
            self._held |= dict(zip(names, _read(self._pool.name, positions), strict=True))
            self._waits = next(self._ahead, None)
        found = {i: self._held.pop(i) for i in wanted & self._held.keys()}
        if lacking := [i for i in ids if i not in found]:
            with store.connect() as con:
                read = samples.read_samples(con, self._pool.name, lacking)
            found |= dict(zip(lacking, read, strict=True))
        return [found[i] for i in ids]

    def _cut(self, ids: Sequence[str]) -> Iterator[Window]:
        """The ids in windows, with their positions."""
        if not ids:
            return
        place = {sample_id: k for k, sample_id in enumerate(self._pool.sample_ids)}
        positions = np.array([place[i] for i in ids], np.int64)
        del place
        start = 0
        for window in _windows(self._pool.name, positions):
            yield list(ids[start : start + len(window)]), window
            start += len(window)
