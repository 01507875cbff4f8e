"""The map of a pool: exact neighbours, a start from PCA and a layout, beside umap-learn's own."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.suite.bench import Bench, Row
from core import maps

WIDTH = 384  # of MiniLM
BLOBS = 40
LOOKED_AT = 3000  # rows among which trustworthiness is measured
LOWER = 0.01  # that it may be
WARM = 4500  # rows; from 4,096 on umap-learn looks for neighbours as it does for 20,000


def blobs(n: int, seed: int = 0) -> NDArray[np.float32]:
    """n rows around `BLOBS` centres; the blobs touch, as islands of real texts do."""
    rng = np.random.default_rng(seed)
    centres = 0.35 * rng.normal(size=(BLOBS, WIDTH))
    return (centres[np.arange(n) % BLOBS] + rng.normal(size=(n, WIDTH))).astype(np.float32)


def trustworthiness(rows: NDArray[np.float32], places: NDArray[Any]) -> float:
    """How far the nearest on the map are near in truth, among some of the rows."""
    from sklearn.manifold import trustworthiness

    some = np.random.default_rng(1).permutation(len(rows))[:LOOKED_AT]
    return float(trustworthiness(rows[some], places[some], n_neighbors=15, metric="cosine"))


def umap(bench: Bench) -> Iterator[Row]:
    """B6: 20k x 384 against umap-learn's default; trustworthiness not lower by more than 0.01."""
    n = bench.size(5000, 20_000)
    rows, small = blobs(n), blobs(WARM, seed=1)
    made: dict[str, NDArray[Any]] = {}

    def ours() -> None:
        made["ours"] = maps.project(rows, 0)[0]

    def theirs() -> None:
        made["theirs"] = _default(rows)

    once = bench.seconds(lambda: maps.project(small, 0)), bench.seconds(lambda: _default(small))
    race = bench.race(ours, theirs, bench.size(1, 3), warm=False)
    trust = {side: trustworthiness(rows, places) for side, places in made.items()}
    note = (
        f"trustworthiness {trust['ours']:.3f}, theirs {trust['theirs']:.3f};"
        f" a first small map, with what is compiled once: {once[0]:.0f} s, theirs {once[1]:.0f} s"
    )
    gate = trust["ours"] >= trust["theirs"] - LOWER
    yield bench.row("b6", f"map of {n:,} x {WIDTH} vectors", race.ratio, 5.0, gate, note=note)


def _default(rows: NDArray[np.float32]) -> NDArray[Any]:
    """umap-learn as it comes: neighbours by descent, spectral start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        return np.asarray(UMAP(metric="cosine").fit_transform(rows))


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {"b6": umap}
