"""Pairs of near neighbours of which one is kept and one is dropped: what a choice comes down to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import MaskN

LOOKED_AT = 512  # of the most similar pairs, among which each sample is to appear once
SAME = 0.9999  # cosine from which two samples say the same, so that a pair tells nothing


@dataclass(frozen=True)
class Contrast:
    """Rows of a kept sample and of a dropped one beside it, and their cosine."""

    kept: int
    dropped: int
    cosine: float


def contrasts(
    neighbours: NDArray[np.int32], cosines: NDArray[Any], kept: MaskN, most: int
) -> list[Contrast]:
    """The most similar pairs across the choice, most similar first, no sample twice.

    Args:
        neighbours: (m, k) rows of each sample's nearest, -1 where there are fewer.
        cosines: (m, k) to them.
        kept: (n,) True where the subset has the sample; samples from n on take no part.
        most: how many pairs.
    """
    n = len(kept)
    neighbours, cosines = neighbours[:n], cosines[:n]
    neighbours = np.where(neighbours < n, neighbours, -1)
    across = (neighbours >= 0) & (kept[:, None] != kept[neighbours]) & (cosines < SAME)
    row, column = np.nonzero(across)
    cosine = cosines[row, column]
    if len(cosine) > LOOKED_AT:
        first = np.argpartition(-cosine, LOOKED_AT)[:LOOKED_AT]
        row, column, cosine = row[first], column[first], cosine[first]
    found: list[Contrast] = []
    seen: set[int] = set()
    for i in np.lexsort((column, row, -cosine)):
        a, b = int(row[i]), int(neighbours[row[i], column[i]])
        if len(found) < most and not seen & {a, b}:
            seen |= {a, b}
            found.append(Contrast(*((a, b) if kept[a] else (b, a)), float(cosine[i])))
    return found
