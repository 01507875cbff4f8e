"""Pairs across the choice, against trying every pair."""

import numpy as np
import pytest

from core.contrasts import SAME, contrasts


def world(seed, n=60, k=6):
    """Random unit vectors with each sample's exact nearest neighbours."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -2)
    near = np.argsort(-cosine, axis=1)[:, :k].astype(np.int32)
    return near, np.take_along_axis(cosine, near, 1), rng.random(n) < 0.3


def slow(near, cosine, kept, most):
    """Every pair in turn, the most similar first."""
    pairs = sorted(
        (-cosine[i, j], *((i, near[i, j]) if kept[i] else (near[i, j], i)))
        for i in range(len(near))
        for j in range(near.shape[1])
        if near[i, j] >= 0 and kept[i] != kept[near[i, j]] and cosine[i, j] < SAME
    )
    found, seen = [], set()
    for c, a, b in pairs:
        if len(found) < most and not seen & {a, b}:
            seen |= {a, b}
            found.append((a, b, -c))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_they_are_those_that_trying_every_pair_finds(seed):
    near, cosine, kept = world(seed)
    found = contrasts(near, cosine, kept, 4)
    expected = slow(near, cosine, kept, 4)
    assert [(p.kept, p.dropped) for p in found] == [(a, b) for a, b, _ in expected]
    assert [p.cosine for p in found] == pytest.approx([c for *_, c in expected])


def test_a_pair_is_one_kept_and_one_dropped_and_no_sample_stands_twice():
    near, cosine, kept = world(9)
    found = contrasts(near, cosine, kept, 20)
    assert all(kept[p.kept] and not kept[p.dropped] for p in found)
    rows = [row for p in found for row in (p.kept, p.dropped)]
    assert len(set(rows)) == len(rows) > 4


def test_missing_neighbours_and_copies_make_no_pair():
    near = np.array([[1, -1], [0, 2], [1, -1]], np.int32)
    cosine = np.array([[1.0, np.nan], [1.0, 0.5], [0.5, np.nan]])
    kept = np.array([True, False, True])
    assert [(p.kept, p.dropped) for p in contrasts(near, cosine, kept, 3)] == [(2, 1)]
    assert contrasts(near[:, 1:], cosine[:, 1:], np.array([True, False, False]), 3) == []


@pytest.mark.parametrize("kept", [np.zeros(60, bool), np.ones(60, bool)])
def test_without_two_sides_there_is_no_pair(kept):
    near, cosine, _ = world(1)
    assert contrasts(near, cosine, kept, 2) == []


def test_samples_that_came_later_than_the_scores_take_no_part():
    near, cosine, kept = world(4)
    found = contrasts(near, cosine, kept[:40], 30)
    assert found
    assert all(max(p.kept, p.dropped) < 40 for p in found)
