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


def iso_line(
    dispersion: FloatN,
    mixed_d: FloatN,
    anisotropy: FloatN,
    mixed_i: FloatN,
    weight: float,
    at: float,
) -> tuple[FloatN, FloatN]:
    """Points (D, I) of the same score `at`: (1 - weight) f(D) + weight g(I) = at.

    f and g are the scales on which both parts are mixed, known at the samples (n,) and rising;
    between them they are drawn straight. Only what lies within the samples' range is returned.
    """
    d, f = _scale(dispersion, mixed_d)
    i, g = _scale(anisotropy, mixed_i)
    if len(d) < 2 or len(i) < 2:
        return np.zeros(0), np.zeros(0)
    if weight <= 0.5:  # each score has one D for every I
        y = np.linspace(i[0], i[-1], 100)
        wanted = (at - weight * np.interp(y, i, g)) / (1 - weight)
        x, inside = np.interp(wanted, f, d), (wanted >= f[0]) & (wanted <= f[-1])
    else:
        x = np.linspace(d[0], d[-1], 100)
        wanted = (at - (1 - weight) * np.interp(x, d, f)) / weight
        y, inside = np.interp(wanted, g, i), (wanted >= g[0]) & (wanted <= g[-1])
    return x[inside], y[inside]


def _scale(part: FloatN, mixed: FloatN) -> tuple[FloatN, FloatN]:
    """A part and what it becomes, rising, each value once; at most 2,000 of them."""
    value, first = np.unique(part, return_index=True)
    step = np.linspace(0, len(value) - 1, min(len(value), 2000)).round().astype(np.int64)
    return value[step], mixed[first][step]
