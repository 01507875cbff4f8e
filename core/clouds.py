"""A cloud of k answers, drawn from their cosines alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN


def counted(gram: NDArray[Any]) -> IntN:
    """Which of k answers have any content: a zero vector has a cosine of 0 with itself."""
    return np.flatnonzero(np.diagonal(gram) > 0.5)


def central(gram: NDArray[Any]) -> int:
    """The answer whose cosines (k, k) with all others sum up highest; the first of equals.

    -1 when no answer has any content.
    """
    rows = counted(gram)
    if not len(rows):
        return -1
    total = np.asarray(gram, np.float64)[np.ix_(rows, rows)].sum(1)
    return int(rows[np.argmax(np.round(total, 9))])


def plane(gram: NDArray[Any]) -> tuple[NDArray[np.float64], FloatN]:
    """Places (c, 2) of c vectors on their first two principal axes, from their cosines (c, c).

    With Gc = J G J = V L V' and J = I - 11'/c, the places V sqrt(L) are those of a PCA of the
    vectors themselves. Each axis points to where its largest coordinate is positive.

    Returns: the places, and the share (2,) of the spread that each axis shows; 0 without spread.
    """
    c = len(gram)
    even = np.asarray(gram, np.float64)
    centre = np.eye(c) - 1 / max(c, 1)
    inner = centre @ ((even + even.T) / 2) @ centre
    found, axes = np.linalg.eigh(inner) if c else (np.zeros(0), np.zeros((0, 0)))
    found = np.maximum(found[::-1], 0)
    places = (axes[:, ::-1] * np.sqrt(found))[:, :2]
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    total = float(found.sum())
    if total < 1e-12:  # as `core.methods.spread`: the answers agree
        return np.zeros((c, 2)), np.zeros(2)
    if c:
        far = places[np.abs(places).argmax(0), np.arange(2)]
        places = places * np.where(far < 0, -1, 1)
    return places, np.pad(found, (0, 2))[:2] / total
