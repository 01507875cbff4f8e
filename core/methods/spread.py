"""The shape of a cloud of k unit vectors, from their cosines alone. For `answer_divergence`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN

EPS = 1e-12  # as in the authors' code: below it there is no spread


def spectrum(gram: NDArray[np.float64], counted: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The shape of each cloud, from cosines (n, k, k) and which c of its k vectors count (n, k).

    Returns `eigenvalues` (n, k) of the centred cosines, l1 >= l2 >= ..., 0 beyond the c that
    count; and (n,) columns: `spectral_entropy` -sum p ln p / ln c of p = l / sum(l), 1 where
    all directions are alike; `top_share`, the first eigenvalue's share before centring;
    `mean_cosine` between different vectors; `eigenvalue_ratio` l1 / l2, inf without any spread;
    `instability`, see there.
    """
    m = counted.astype(np.float64)
    c = np.maximum(m.sum(1), 1)
    gram = gram * m[:, :, None] * m[:, None, :]
    centre = m[:, :, None] * (np.eye(m.shape[1]) - (m / c[:, None])[:, None, :])
    found = eigenvalues(centre @ gram @ centre.swapaxes(1, 2))
    total = found.sum(1)
    p = found / np.maximum(total, EPS)[:, None]
    trace = np.einsum("njj->n", gram)
    pairs = np.maximum(c * (c - 1), 1)
    return {
        "eigenvalues": found,
        "spectral_entropy": np.where(
            total < EPS, 0.0, -(p * np.log(p + EPS)).sum(1) / np.log(np.maximum(c, 2))
        ),
        "top_share": eigenvalues(gram)[:, 0] / (trace + EPS),
        "mean_cosine": (gram.sum((1, 2)) - trace) / pairs,
        "eigenvalue_ratio": np.where(total < EPS, np.inf, found[:, 0] / (found[:, 1] + EPS)),
        "instability": np.where(total < EPS, 0.0, instability(gram, counted, total / c)),
    }


def eigenvalues(symmetric: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues (n, k), descending; rounding errors below 0 are clipped."""
    even = (symmetric + symmetric.swapaxes(1, 2)) / 2
    return np.asarray(np.maximum(np.linalg.eigvalsh(even)[:, ::-1], 0))


def dispersion_anisotropy(found: NDArray[np.float64], n_answers: IntN) -> tuple[FloatN, FloatN]:
    """D = sum(l) / c and I = 1 - l1 / sum(l), (n,), from eigenvalues (n, k) and counts c (n,)."""
    total = found.sum(1)
    apart = total >= EPS
    d = np.where(apart, total / np.maximum(n_answers, 1), 0.0)
    return d, np.where(apart, 1 - found[:, 0] / np.maximum(total, EPS), 0.0)


def instability(gram: NDArray[np.float64], counted: NDArray[np.bool_], d: FloatN) -> FloatN:
    """Largest relative change of the dispersion `d` (n,) when one vector is left out, (n,).

    0 for fewer than three vectors. With S the sum of all c * c cosines and s_j of row j, the
    others have a sum of S - 2 s_j + g_jj; D of any cloud is its mean g_jj less its mean cosine.
    """
    c = np.maximum(counted.sum(1), 2)[:, None]
    own, row = np.einsum("njj->nj", gram), gram.sum(2)
    others = row.sum(1, keepdims=True) - 2 * row + own
    without = (own.sum(1, keepdims=True) - own - others / (c - 1)) / (c - 1)
    change = np.abs(d[:, None] - without).max(1, where=counted, initial=0)
    return np.where(c[:, 0] > 2, change / (d + EPS), 0.0)
