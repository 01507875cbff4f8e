"""A map of a pool: coordinates, clusters with labels, neighbours and near-duplicates.

Arrays in, arrays out. Everything is computed in the order of the sample ids, so that the order
of a pool changes nothing but the order of the rows.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import cells, minhash
from core.compiled import prepare
from core.domain import IntN, MaskN
from core.labels import cluster, label
from core.neighbours import Links, links, nearest

VERSION = 2  # raise it when the same vectors give another map
NEIGHBOURS = 10  # of each sample, for the reader
FLOORS = {"cosine": 0.8, "minhash": 0.5}  # near-duplicates are exact for any threshold from here
# A sample counts among its own neighbours.
UMAP: dict[str, Any] = {"n_neighbors": 15, "min_dist": 0.1, "metric": "cosine"}
# From a start by PCA fewer passes do than umap-learn makes; small pools get as many.
EPOCHS = (50, 500)
MOVES = 1_000_000  # rows times passes, about
FITTED = 100_000  # rows that UMAP places itself; of more, a sample
SAMPLE = 50_000
ANCHORS = 5  # placed rows that say where another one goes
NOTE = (
    "UMAP placed {:,} samples; the others stand beside their nearest of them. Neighbours and"
    " near-duplicates were sought nearby: a few may be missing"
)
FEWEST = 5  # rows below this have no neighbourhood to unfold

Float32 = NDArray[np.float32]
Neighbours = tuple[NDArray[np.int32], Float32]  # positions and cosines, nearest first


@dataclass(frozen=True)
class Map:
    """What is drawn and looked up of n samples, in pool order.

    `coordinates` (n, 2), NaN for a sample without a vector; `cluster` (n,), -1 for it; `labels`
    one a cluster; `neighbours` (n, 10) positions, -1 where there are fewer, and their `cosines`;
    `duplicates` by "cosine" of the vectors and by "minhash" of the texts; `note` says what a
    person should know of the coordinates, mostly nothing.
    """

    coordinates: Float32
    cluster: IntN
    labels: tuple[str, ...]
    neighbours: NDArray[np.int32]
    cosines: Float32
    duplicates: Mapping[str, Links]
    note: str = ""


def build_map(
    ids: Sequence[str], texts: Iterable[str], vectors: NDArray[Any], usable: MaskN, seed: int
) -> Map:
    """Make the map of n samples from their vectors (n, d) and their instructions.

    `usable` (n,): rows with a vector. The others, and those whose vector is zero or not finite,
    have no place, cluster or neighbours; their texts may still be near-duplicates. `texts` are
    gone through twice; above `FITTED` samples they are never all in memory.
    """
    n = len(ids)
    usable = usable & np.isfinite(vectors).all(axis=1) & np.any(vectors, axis=1)
    by_id = np.array(sorted(range(n), key=ids.__getitem__), np.int64)
    rows = by_id[usable[by_id]]
    mine = np.asarray(vectors)[rows].astype(np.float32, copy=False)
    among, alike = _near(mine, seed)
    placed, note = project(mine, seed, among)
    coordinates = np.full((n, 2), np.nan, np.float32)
    coordinates[rows] = placed
    group = np.full(n, -1, np.int64)
    group[rows] = cluster(mine, seed)
    near, cosine = (column[:, :NEIGHBOURS] for column in among)
    neighbours = np.full((n, NEIGHBOURS), -1, np.int32)
    neighbours[rows] = np.where(near >= 0, rows[near] if len(rows) else near, -1)
    cosines = np.full((n, NEIGHBOURS), np.nan, np.float32)
    cosines[rows] = cosine
    duplicates = {
        "cosine": _in_pool(alike, rows),
        "minhash": _in_pool(_worded_alike(texts, by_id), by_id),
    }
    labels = tuple(label(texts, group))
    return Map(coordinates, group, labels, neighbours, cosines, duplicates, note)


def _near(mine: Float32, seed: int) -> tuple[Neighbours, Links]:
    """The nearest of each row and the near-duplicates; exact while all can be compared."""
    k = max(NEIGHBOURS, UMAP["n_neighbors"] - 1)
    if len(mine) > FITTED:
        among = cells.nearby(mine, k, seed)
        return among, cells.links_of(among, FLOORS["cosine"])
    return nearest(mine, k), links(mine, FLOORS["cosine"])


def _worded_alike(texts: Iterable[str], by_id: IntN) -> Links:
    """Near-duplicates of the texts, as links between places in `by_id`."""
    if len(by_id) > FITTED:
        place = np.empty(len(by_id), np.int64)
        place[by_id] = np.arange(len(by_id))
        return minhash.rough_links(texts, place, FLOORS["minhash"])
    held = list(texts)
    return minhash.links([held[i] for i in by_id], FLOORS["minhash"])


def _in_pool(found: Links, rows: IntN) -> Links:
    """Links between places in `rows` as links between positions of the pool."""
    ends = np.sort(np.stack([rows[found.a], rows[found.b]]), axis=0).astype(np.int32)
    return Links(ends[0], ends[1], found.similarity, found.floor)


def project(
    vectors: NDArray[Any], seed: int, known: Neighbours | None = None
) -> tuple[Float32, str]:
    """Coordinates (n, 2) by UMAP on exact cosine neighbours, started from PCA.

    The same bytes on every call on one machine: one thread, one seed. Above `FITTED` rows a
    seeded sample is placed, and every other row goes to the mean of its nearest `ANCHORS` in it,
    weighted by 1 / cosine distance. `known` saves looking for the neighbours again, see
    `core.neighbours.nearest`. McInnes, Healy and Melville, arXiv 1802.03426.

    Returns: the coordinates, and a note that is empty when UMAP placed every row.
    """
    n = len(vectors)
    if n > FITTED:
        drawn = np.random.default_rng(seed).permutation(n)[:SAMPLE]
        return _beside(vectors, np.sort(drawn), seed)
    start = _principal(vectors, seed)
    if n < FEWEST:
        return start, f"fewer than {FEWEST} samples: placed by PCA"
    if not np.ptp(start, axis=0).all():
        return start, "the vectors differ in fewer than two directions: placed by PCA"
    return _umap(known or nearest(vectors, UMAP["n_neighbors"] - 1), start, seed), ""


def _principal(vectors: NDArray[Any], seed: int) -> Float32:
    """The first two principal components (n, 2); zeros where there are none."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    out = np.zeros((len(vectors), 2), np.float32)
    rows = np.asarray(vectors, np.float32)
    width = min(2, *rows.shape)
    if len(rows) > 1 and np.ptp(rows, axis=0).any():
        with threadpool_limits(1):  # sums in one order, whatever the machine has free
            out[:, :width] = PCA(width, random_state=seed).fit_transform(rows)
    return out


def _umap(among: Neighbours, start: Float32, seed: int) -> Float32:
    """UMAP of at least `FEWEST` rows from their exact neighbours."""
    n = len(start)
    k = min(UMAP["n_neighbors"], n - 1)
    near, cosine = (column[:, : k - 1] for column in among)
    own = np.arange(n, dtype=np.int32)[:, None]  # UMAP wants each row first among its neighbours
    known = (
        np.hstack([own, near]),
        np.hstack([np.zeros((n, 1), np.float32), np.maximum(1 - cosine, 0)]),
    )
    epochs = int(np.clip(MOVES // n, *EPOCHS))
    settings = UMAP | {"n_neighbors": k, "init": start, "precomputed_knn": known}
    model = _loaded().UMAP(**settings, n_epochs=epochs, random_state=seed, n_jobs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]")  # it is for new rows; none come
        # All it needs is in the neighbours; it asks for rows to count them.
        return np.asarray(model.fit_transform(start), np.float32)


def _beside(vectors: NDArray[Any], sample: IntN, seed: int) -> tuple[Float32, str]:
    """Place a sample by UMAP and all other rows beside it."""
    out = np.empty((len(vectors), 2), np.float32)
    out[sample], _ = project(vectors[sample], seed)
    rest = np.setdiff1d(np.arange(len(vectors)), sample)
    anchors, placed = vectors[sample], out[sample]
    for start in range(0, len(rest), cells.CHUNK):
        some = rest[start : start + cells.CHUNK]
        near, cosine = nearest(vectors[some], ANCHORS, among=anchors)
        weight = 1 / (1 - cosine + 1e-6)
        weight /= weight.sum(axis=1, keepdims=True)
        out[some] = np.einsum("rk,rkc->rc", weight, placed[near])
    return out, NOTE.format(len(sample))


def _loaded() -> Any:
    """umap, with its compiled code in the cache folder: 2 s instead of 25 from the second time.

    It keeps none of its own loops by itself, so those that a fit needs are told to.
    """
    prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that there is no tensorflow
        import umap
        from umap import layouts, umap_
    for module, name in (
        (umap_, "smooth_knn_dist"),
        (umap_, "compute_membership_strengths"),
        (layouts, "_nb_optimize_layout_euclidean_single_epoch"),
    ):
        loop: Any = getattr(module, name, None)
        if hasattr(loop, "enable_caching"):  # the last one is private, and may move
            loop.enable_caching()
    return umap
