"""Samples one below the other, in pieces of nearly one length: few pads, and few calls."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN
from core.templates import Encoded

SLACK = 1 / 32  # pads in a piece on a processor, as a share of its tokens


class Piece(NamedTuple):
    """`n` samples of `t` tokens each with their pads, the first of them `first`, at `row`."""

    first: int
    row: int
    n: int
    t: int

    @property
    def rows(self) -> slice:
        """Where their tokens are."""
        return slice(self.row, self.row + self.n * self.t)

    @property
    def samples(self) -> slice:
        """Which samples they are."""
        return slice(self.first, self.first + self.n)


def cut(lengths: IntN, slack: float = SLACK) -> list[Piece]:
    """Pieces of samples in this order, lengths falling; pads are at most `slack` of a piece."""
    pieces: list[Piece] = []
    row = first = 0
    while first < len(lengths):
        t = int(lengths[first])
        n = 1
        real = t
        while first + n < len(lengths):
            real += int(lengths[first + n])
            if (n + 1) * t - real > slack * (n + 1) * t:
                break
            n += 1
        pieces.append(Piece(first, row, n, t))
        first, row = first + n, row + n * t
    return pieces


def lay(
    batch: Sequence[Encoded], pieces: Sequence[Piece]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], IntN]:
    """Samples one below the other with their pads.

    Returns: token ids (r,); which are scored (r,); which sample each is of (r,).
    """
    ids = np.zeros(pieces[-1].rows.stop, np.int64)
    scored = np.zeros(len(ids), bool)
    for piece in pieces:
        for k, e in enumerate(batch[piece.samples]):
            start = piece.row + k * piece.t
            ids[start : start + len(e)], scored[start : start + len(e)] = e.ids, e.scored
    owner = np.repeat(np.arange(len(batch)), [p.t for p in pieces for _ in range(p.n)])
    return ids, scored, owner
