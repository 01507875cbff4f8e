"""Loss trajectories (n, t) -> clusters of samples that are learned alike; arrays only."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN

STARTS, ROUNDS = 4, 100  # of k-means


def thinned(trajectory: NDArray[np.float64], used: int) -> NDArray[np.float64]:
    """Every (t // used)-th point of (n, t), the first one on; all where there are not more.

    The rule of S2L's code, which may keep more than `used`: of 9 points, 5 leave all 9.
    """
    t = trajectory.shape[1]
    return trajectory[:, :: max(1, t // used)] if t > used else trajectory


def scaled(
    points: NDArray[np.float64], scaling: Literal["none", "log1p", "unit"]
) -> NDArray[np.float64]:
    """Trajectories (n, t) as k-means sees them; one of nothing but 0 stays as it is."""
    if scaling == "log1p":
        return np.log1p(points)
    if scaling == "unit":
        length = np.linalg.norm(points, axis=1, keepdims=True)
        return points / np.where(length > 0, length, 1.0)
    return points


def clustered(points: NDArray[np.float64], clusters: int, seed: int) -> tuple[IntN, FloatN]:
    """K-means of (n, t): each point's cluster and its Euclidean distance to the centre, (n,).

    At most as many clusters as there are different points. Clusters are numbered by size,
    largest first, then by the first coordinates of their centres.
    """
    if not len(points):
        return np.zeros(0, np.int64), np.zeros(0)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    k = min(clusters, len(np.unique(points, axis=0)))
    fit = KMeans(k, n_init=STARTS, max_iter=ROUNDS, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():  # threads add in any order
        warnings.simplefilter("ignore", ConvergenceWarning)  # points that differ by a last bit
        found = fit.fit(points).labels_
    label = np.unique(found, return_inverse=True)[1]
    sizes = np.bincount(label)
    sums = [np.bincount(label, column) for column in points.T]
    centres = np.stack(sums, axis=1) / sizes[:, None]
    number = np.argsort(np.lexsort((*centres.T[::-1], -sizes)))
    return number[label].astype(np.int64), np.linalg.norm(points - centres[label], axis=1)
