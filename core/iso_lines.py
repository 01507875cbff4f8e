"""Answer divergence under any weight, and where on the plane of its parts scores are equal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain import FloatN, MaskN
from core.methods.answer_divergence import mixed

SHARES = (0.01, 0.1, 0.25, 0.5)  # of the samples, above each line
ROWS = 20_000  # samples that a scale is known at; more are thinned evenly


@dataclass(frozen=True)
class IsoLine:
    """Points (D, I) of one score, and the share of the samples that score higher."""

    dispersion: FloatN
    anisotropy: FloatN
    share: float


def weighted(
    dispersion: FloatN,
    anisotropy: FloatN,
    usable: MaskN,
    weight: float,
    mixing: str,
    shares: Sequence[float] = SHARES,
) -> tuple[FloatN, tuple[IsoLine, ...]]:
    """Score (n,) = (1 - weight) D + weight I as `mixing` says, NaN where not usable; and lines.

    `usable` (n,): samples with enough answers. See `core.methods.answer_divergence`.
    """
    f, g = (mixed(part, usable, mixing) for part in (dispersion, anisotropy))
    value = np.where(usable, (1 - weight) * f + weight * g, np.nan)
    rows = np.flatnonzero(usable)
    if not len(rows):
        return value, ()
    some = rows[:: -(-len(rows) // ROWS)]
    parts = dispersion[some], f[some], anisotropy[some], g[some]
    scores = np.quantile(value[rows], 1 - np.array(shares)).tolist()
    lines = (iso_line(*parts, weight, at) for at in scores)
    return value, tuple(IsoLine(*line, share) for line, share in zip(lines, shares, strict=True))


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
