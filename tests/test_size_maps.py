"""A map of more samples than can all be compared: near to the exact one, in bounded memory."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from test_maps import digest, permuted, pool
from test_neighbours import obvious_jaccard, words

from core import cells, mapping, maps, minhash, neighbours, pools
from core.labels import label
from core.mapping import make_from
from core.maps import FLOORS, build_map
from core.neighbours import nearest

N = 900


def rows(n: int = 2000, seed: int = 0) -> np.ndarray:
    """Forty clouds, and a nearly equal row beside every twentieth."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, 24))
    made = (centres[rng.integers(0, 40, n)] + 0.6 * rng.normal(size=(n, 24))).astype(np.float32)
    made[1::20] = made[::20] + 0.005 * rng.normal(size=made[::20].shape).astype(np.float32)
    return made


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a few hundred samples were many."""
    monkeypatch.setattr(maps, "FITTED", 500)
    monkeypatch.setattr(maps, "SAMPLE", 300)


def test_neighbours_nearby_are_mostly_the_nearest_and_their_cosines_exact() -> None:
    vectors = rows()
    near, cosine = cells.nearby(vectors, 10, 0)
    right = nearest(vectors, 10)[0]
    hit = [len({*a} & {*b}) for a, b in zip(near.tolist(), right.tolist(), strict=True)]
    assert np.mean(hit) / 10 > 0.7
    assert (near[::20, 0] == right[::20, 0]).mean() > 0.98  # what is nearly equal is found
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for k in range(10):
        there = near[:, k] >= 0
        product = np.einsum("ij,ij->i", unit[there], unit[near[there, k]])
        np.testing.assert_allclose(cosine[there, k], product, atol=1e-6)
    assert (np.diff(cosine[(near >= 0).all(axis=1)], axis=1) <= 0).all()
    assert not (near == np.arange(len(vectors))[:, None]).any()
    assert all(len({*a}) == len(a) for a in near[(near >= 0).all(axis=1)].tolist())


def test_a_thousand_copies_are_compared_in_bounded_cells_and_are_one_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    compare = cells.nearest

    def counted(vectors, k, among=None):
        asked.append(0 if among is not None else len(vectors))
        return compare(vectors, k, among)

    monkeypatch.setattr(cells, "nearest", counted)
    monkeypatch.setattr(cells, "MOST", 200)
    near, cosine = cells.nearby(np.ones((1000, 4), np.float32), 3, 0)
    assert max(asked) == 200
    assert (cosine == 1).all()
    assert (near >= 0).all()
    assert not cells.links_of((near, cosine), 0.9).groups(1000, 0.9).any()  # all with the first


def test_links_nearby_give_the_groups_of_near_copies() -> None:
    vectors = rows()
    found = cells.links_of(cells.nearby(vectors, 10, 0), 0.99)
    right = neighbours.links(vectors, 0.99).groups(len(vectors), 0.99)
    mine = found.groups(len(vectors), 0.99)
    assert (right >= 0).sum() > 150
    assert (mine == right).mean() > 0.99
    assert len(found.a) < len(vectors)


def test_rough_links_of_texts_are_those_of_an_exact_comparison_but_for_a_margin() -> None:
    texts = words(150)
    exact = {
        (a, b): obvious_jaccard(texts[a], texts[b]) for a in range(150) for b in range(a + 1, 150)
    }
    found = minhash.rough_links(iter(texts), np.arange(150), 0.5)
    together = found.groups(150, 0.7)
    for (a, b), index in exact.items():
        if index > 0.85:
            assert together[a] == together[b] >= 0
    for a, b, estimate in zip(found.a.tolist(), found.b.tolist(), found.similarity, strict=True):
        assert abs(exact[a, b] - estimate) < 5 * np.sqrt(0.25 / 128)


def test_long_texts_are_hashed_in_as_little_memory_as_short_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(minhash, "HELD", 20_000)
    chance = np.random.default_rng(0)
    texts = ["".join(map(chr, chance.integers(97, 123, 5000))) for _ in range(100)]
    minhash.rough_links(texts[:2], np.arange(2), 0.5)
    tracemalloc.start()
    found = minhash.rough_links([*texts, "", texts[3]], np.arange(102), 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(3, 101)]
    assert peak < 3e6  # all shingles are 4 MB, and several times that while they are hashed


def test_texts_stand_where_they_are_told_whatever_order_they_come_in() -> None:
    texts = words(80)
    order = np.random.default_rng(0).permutation(80)
    straight = minhash.rough_links(texts, np.arange(80), 0.5)
    mixed = minhash.rough_links((texts[k] for k in order), order, 0.5)
    for name in ("a", "b", "similarity"):
        np.testing.assert_array_equal(getattr(straight, name), getattr(mixed, name))


def test_a_large_map_has_everything_and_no_order_of_the_pool_changes_it(small: None) -> None:
    x = pool(N)
    made = build_map(**x, seed=0)
    assert "UMAP placed 300 samples" in made.note
    assert "may be missing" in made.note
    there = np.isfinite(made.coordinates).all(axis=1)
    assert there.sum() == N - 3
    assert ((made.neighbours[there] >= 0).sum(axis=1) == 10).mean() > 0.98
    topic = np.arange(N) % 6
    same = topic[made.neighbours[there]] == topic[there][:, None]
    assert same.mean() > 0.95
    assert made.duplicates["cosine"].floor == FLOORS["cosine"]
    order = np.random.default_rng(3).permutation(N)
    mixed = build_map(**permuted(x, order), seed=0)
    np.testing.assert_array_equal(mixed.coordinates, made.coordinates[order])
    np.testing.assert_array_equal(mixed.cluster, made.cluster[order])
    np.testing.assert_array_equal(mixed.cosines, made.cosines[order])
    assert mixed.labels == made.labels
    groups = {by: found.groups(N, 0.8) for by, found in made.duplicates.items()}
    for by, found in mixed.duplicates.items():
        assert Counter(found.groups(N, 0.8).tolist())[-1] == Counter(groups[by].tolist())[-1]


def test_texts_of_a_large_map_are_never_held_together(small: None) -> None:
    x = pool(N)
    alive = []

    class Texts:
        def __iter__(self):
            for text in x["texts"]:
                alive.append(1)
                yield text

        def __len__(self):
            raise AssertionError("a list would be made of it")

    made = build_map(x["ids"], Texts(), x["vectors"], x["usable"], 0)
    assert len(alive) == 2 * N  # for the near-duplicates and for the labels
    assert digest(made) == digest(build_map(**x, seed=0))


def test_labels_of_texts_that_come_one_by_one_are_those_of_a_list() -> None:
    x = pool(60)
    group = np.arange(60) % 6
    assert label(iter(x["texts"]), group) == label(x["texts"], group)


def test_the_key_of_a_small_map_is_as_ever_and_that_of_a_large_one_says_how_it_was_made(
    small: None, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(f'{{"instruction": "Say {k}", "output": "It is"}}\n' for k in range(600)), "utf8"
    )
    made = pools.import_files([path], "pool")[1]
    large = mapping.map_id(made, "answers", 0, {})
    monkeypatch.setattr(maps, "FITTED", 600)
    monkeypatch.setattr(mapping, "parameters", dict)
    small_one = mapping.map_id(made, "answers", 0, {})
    monkeypatch.setattr(maps, "FITTED", 599)
    assert mapping.map_id(made, "answers", 0, {}) not in (small_one, large)
    vectors = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    stored = make_from(made, "answers", vectors, np.ones(600, bool), {})
    assert stored.n == 600
    assert "UMAP placed" in stored.note
