"""Maps: coordinates that keep neighbours together, the same for the same samples."""

import hashlib
import os
import subprocess
import sys
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from core import maps
from core.config import ROOT
from core.maps import FEWEST, NEIGHBOURS, Map, build_map, project

N = 240
GONE = (5, 77, 130)  # rows without a vector
TOPICS = ("train speed", "poem rhyme", "python list", "planet moon", "cook rice", "court law")


def pool(n: int = N, seed: int = 0) -> dict[str, Any]:
    """Six clouds of vectors, each with its own words, three rows of them unusable."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.normal(size=(6, 48))
    topic = np.arange(n) % 6
    vectors = (centres[topic] + rng.normal(size=(n, 48))).astype(np.float32)
    usable = ~np.isin(np.arange(n), GONE[:1])
    vectors[[row for row in GONE[1:2] if row < n]] = 0
    vectors[[row for row in GONE[2:] if row < n], 3] = np.nan
    return {
        "ids": [hashlib.sha256(f"{k}".encode()).hexdigest()[:20] for k in range(n)],
        "texts": [f"{TOPICS[t]} " + " ".join(rng.choice(list("xyzuvw"), 9)) for t in topic],
        "vectors": vectors,
        "usable": usable,
    }


def permuted(x: dict[str, Any], order: np.ndarray) -> dict[str, Any]:
    return {
        name: [column[i] for i in order] if isinstance(column, list) else column[order]
        for name, column in x.items()
    }


def digest(made: Map) -> str:
    parts = [getattr(made, f.name) for f in fields(made)]
    plain = [p.tobytes() if isinstance(p, np.ndarray) else repr(p).encode() for p in parts]
    return hashlib.sha256(b"|".join(plain)).hexdigest()


@pytest.fixture(scope="module")
def made() -> Map:
    return build_map(**pool(), seed=0)


def test_the_neighbours_of_a_sample_are_its_neighbours_on_the_map(made: Map) -> None:
    from sklearn.manifold import trustworthiness

    x, there = pool(), ~np.isin(np.arange(N), GONE)
    score = trustworthiness(x["vectors"][there], made.coordinates[there], metric="cosine")
    chance = np.random.default_rng(0).permutation(made.coordinates[there])
    assert score > 0.95
    assert trustworthiness(x["vectors"][there], chance, metric="cosine") < 0.6


def test_clouds_that_lie_apart_do_not_overlap(made: Map) -> None:
    topic = np.arange(N) % 6
    there = ~np.isin(np.arange(N), GONE)
    at = made.coordinates[there].astype(np.float64)
    distance = np.linalg.norm(at[:, None] - at[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    assert (topic[there][nearest] == topic[there]).mean() > 0.95
    words = {label.split(", ")[k] for label in made.labels for k in (0, 1)}
    assert words == set(" ".join(TOPICS).split())


def test_the_same_samples_give_the_same_bytes_here_and_in_another_process(made: Map) -> None:
    assert digest(build_map(**pool(), seed=0)) == digest(made)
    code = "from test_maps import *; print(digest(build_map(**pool(), seed=0)))"
    path = f"{ROOT}:{ROOT / 'tests'}"
    again = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == digest(made)
    assert again.stderr == ""


def test_another_seed_gives_another_map(made: Map) -> None:
    other = build_map(**pool(), seed=1)
    assert np.abs(np.nan_to_num(other.coordinates - made.coordinates)).max() > 0.1
    np.testing.assert_array_equal(other.neighbours, made.neighbours)


def test_the_order_of_the_pool_permutes_the_map(made: Map) -> None:
    order = np.random.default_rng(1).permutation(N)
    place = np.argsort(order)  # where each old position stands now
    mixed = build_map(**permuted(pool(), order), seed=0)
    np.testing.assert_array_equal(mixed.coordinates, made.coordinates[order])
    np.testing.assert_array_equal(mixed.cluster, made.cluster[order])
    assert mixed.labels == made.labels
    moved = np.where(made.neighbours < 0, -1, place[made.neighbours])[order]
    np.testing.assert_array_equal(mixed.neighbours, moved)
    for kind, found in made.duplicates.items():
        ends = {tuple(sorted(pair)) for pair in zip(place[found.a], place[found.b], strict=True)}
        again = mixed.duplicates[kind]
        assert set(zip(again.a.tolist(), again.b.tolist(), strict=True)) == ends
        np.testing.assert_array_equal(again.similarity, found.similarity)


def test_a_sample_without_a_vector_has_no_place_and_is_nobodys_neighbour(made: Map) -> None:
    gone = np.isin(np.arange(N), GONE)
    np.testing.assert_array_equal(np.isnan(made.coordinates).any(axis=1), gone)
    np.testing.assert_array_equal(made.cluster == -1, gone)
    assert (made.neighbours[gone] == -1).all()
    assert not np.isin(made.neighbours[~gone], GONE).any()
    assert np.isfinite(made.cosines[~gone]).all()
    assert made.neighbours.shape == made.cosines.shape == (N, NEIGHBOURS)


def test_neighbours_are_positions_of_the_pool(made: Map) -> None:
    vectors = pool()["vectors"].astype(np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    there = np.flatnonzero(~np.isin(np.arange(N), GONE))
    for row in there[::40]:
        cosine = unit @ unit[row]
        cosine[[row, *GONE]] = -2
        assert made.neighbours[row].tolist() == np.argsort(-cosine)[:NEIGHBOURS].tolist()


def test_pools_too_small_or_too_flat_for_umap_are_placed_and_say_so() -> None:
    for n in range(FEWEST):
        x = pool(n)
        small = build_map(**x | {"usable": np.ones(n, bool)}, seed=0)
        assert np.isfinite(small.coordinates).all()
        assert small.coordinates.shape == (n, 2)
        assert small.note.startswith("fewer than 5 samples")
    line = np.linspace(1, 2, 30)[:, None]
    for flat in (np.ones((30, 4)), line, np.hstack([line, line * 0])):
        coordinates, note = project(flat, 0)
        assert np.isfinite(coordinates).all()
        assert "fewer than two directions" in note
    all_gone = build_map(**pool(9) | {"usable": np.zeros(9, bool)}, seed=0)
    assert np.isnan(all_gone.coordinates).all()
    assert all_gone.labels == ()


def test_few_samples_and_copies_are_placed_by_umap() -> None:
    x = pool(12)["vectors"]
    for rows in (x[:FEWEST], x, np.repeat(x, 3, axis=0)):
        coordinates, note = project(np.nan_to_num(rows), 0)
        assert np.isfinite(coordinates).all()
        assert note == ""


def test_beyond_a_size_samples_are_placed_beside_those_that_umap_placed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = np.nan_to_num(pool(600)["vectors"]) + np.float32(1e-3)
    monkeypatch.setattr(maps, "FITTED", 500)
    monkeypatch.setattr(maps, "SAMPLE", 200)
    coordinates, note = project(x, 0)
    assert note.startswith("UMAP placed 200 samples")
    np.testing.assert_array_equal(project(x, 0)[0], coordinates)
    topic = np.arange(600) % 6
    centre = np.array([np.median(coordinates[topic == t], axis=0) for t in range(6)])
    distance = np.linalg.norm(coordinates[:, None] - centre[None], axis=2)
    assert (distance.argmin(axis=1) == topic).mean() > 0.95
