"""A cloud of answers from its cosines, against the vectors themselves."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core import clouds


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
