"""A cloud of answers from its cosines, against the vectors themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import clouds
from core.methods.answer_divergence import mixed


def unit(rng, k, d=7):
    vectors = rng.normal(size=(k, d)) + 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.integers(0, 200), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_places_from_cosines_are_those_of_a_pca_of_the_vectors(seed, k):
    vectors = unit(np.random.default_rng(seed), k)
    places, share = clouds.plane(vectors @ vectors.T)
    centred = vectors - vectors.mean(0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = np.zeros((k, 2))
    wanted[:, : len(spread[:2])] = (left * spread)[:, :2]
    np.testing.assert_allclose(np.abs(places), np.abs(wanted), atol=1e-6)
    total = (spread**2).sum()
    kept = np.zeros(2)
    kept[: len(spread[:2])] = spread[:2] ** 2
    np.testing.assert_allclose(share, kept / total if total > 1e-12 else 0, atol=1e-6)


def test_answers_that_agree_stand_in_one_place():
    places, share = clouds.plane(np.ones((5, 5)))
    assert not places.any()
    assert not share.any()
    assert clouds.plane(np.zeros((0, 0)))[0].shape == (0, 2)


def test_the_central_answer_is_nearest_to_the_others_and_an_empty_one_never_is():
    gram = np.array([[1, 0.2, 0, 0.3], [0.2, 1, 0, 0.9], [0, 0, 0, 0], [0.3, 0.9, 0, 1]])
    assert clouds.central(gram) == 3
    assert clouds.counted(gram).tolist() == [0, 1, 3]
    assert clouds.central(np.zeros((3, 3))) == -1
    assert clouds.central(np.ones((3, 3))) == 0


@pytest.mark.parametrize("mixing", ["raw", "rank", "z"])
@pytest.mark.parametrize("weight", [0, 0.2, 0.5, 0.8, 1])
def test_the_score_along_an_iso_line_is_the_one_asked_for(mixing, weight):
    rng = np.random.default_rng(0)
    d, i = rng.random(300) / 10, rng.random(300) / 2 + 0.3
    usable = np.ones(300, bool)
    f, g = mixed(d, usable, mixing), mixed(i, usable, mixing)
    at = float(np.median((1 - weight) * f + weight * g))
    x, y = clouds.iso_line(d, f, i, g, weight, at)
    assert len(x) > 5
    order, other = np.argsort(d), np.argsort(i)
    score = (1 - weight) * np.interp(x, d[order], f[order])
    score += weight * np.interp(y, i[other], g[other])
    np.testing.assert_allclose(score, at, atol=1e-6)


def test_there_is_no_iso_line_through_one_sample_or_beyond_all():
    one = np.array([0.5])
    assert len(clouds.iso_line(one, one, one, one, 0.4, 0.5)[0]) == 0
    two = np.array([0.0, 1.0])
    assert len(clouds.iso_line(two, two, two, two, 0.4, 7.0)[0]) == 0
