"""Clusters and their labels."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from core.labels import MOST, by_size, cluster, label, term_weights

TEXTS = [
    "A train goes at a speed of 80. How many hours does the train need?",
    "What is the speed of a train after two hours?",
    "The speed of one train is 60.",
    "Write a poem about the sea and the moon.",
    "A poem that sings of the sea",
    "List the moons of a planet",
    "",
]
GROUPS = np.array([0, 0, 0, 1, 1, 2, 2])


def blobs(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = 12 * rng.normal(size=(3, 8))
    sizes = np.array([0] * 5 + [1] * 3 + [2] * 2)
    return centres[sizes[np.arange(n) % 10]] + rng.normal(size=(n, 8))


def test_labels_are_the_words_that_set_a_cluster_apart() -> None:
    assert label(TEXTS, GROUPS) == ["train, speed, hours", "poem, sea, moon", "list, moons, planet"]


def test_weights_are_class_based_tf_idf_by_hand() -> None:
    terms, weight = term_weights(TEXTS, GROUPS)
    stop = {"the", "of", "at", "how", "many", "need", "what", "is", "after", "two", "one", "about"}
    stop |= {"and", "that", "does", "a"}
    counts = [Counter[str]() for _ in range(3)]
    for text, group in zip(TEXTS, GROUPS, strict=True):
        found = re.findall(r"[a-z]{2,}", text.lower())
        counts[group].update(w for w in found if w not in stop or w == "need")
    total = sum(counts, Counter[str]())
    assert terms == sorted(total)
    average = sum(total.values()) / 3
    for row, count in zip(weight, counts, strict=True):
        words = sum(count.values())
        for term, found in zip(terms, row, strict=True):
            expected = count[term] / words * math.log(1 + average / total[term])
            assert found == pytest.approx(expected, rel=1e-12)


def test_a_cluster_without_words_has_an_empty_label_and_no_group_has_none() -> None:
    assert label(["", "42 = 42", "sea"], np.array([0, 0, 1])) == ["", "sea"]
    assert label(["...", ""], np.array([0, 0])) == [""]
    assert label(["sea", "tea"], np.array([-1, 0])) == ["tea"]
    assert label([], np.array([], np.int64)) == []
    assert label(["sea"], np.array([-1])) == []


def test_the_order_of_the_texts_does_not_change_a_label() -> None:
    order = np.random.default_rng(0).permutation(len(TEXTS))
    assert label([TEXTS[i] for i in order], GROUPS[order]) == label(TEXTS, GROUPS)


def test_clusters_are_numbered_by_size_then_by_first_member() -> None:
    assert by_size(np.array([7, 7, 2, 5, 5, 5, 9])).tolist() == [1, 1, 2, 0, 0, 0, 3]
    sizes = np.bincount(cluster(blobs(100), 0))
    assert (np.diff(sizes) <= 0).all()


def test_no_cluster_mixes_blobs_that_lie_apart() -> None:
    rows = blobs(200)
    blob = np.array([0] * 5 + [1] * 3 + [2] * 2)[np.arange(200) % 10]
    found = cluster(rows, 0)
    assert len(np.unique(found)) == 10  # the root of 200 / 2
    for number in range(10):
        assert len(set(blob[found == number])) == 1


def test_the_same_rows_and_seed_give_the_same_clusters() -> None:
    rows = blobs(300)
    np.testing.assert_array_equal(cluster(rows, 3), cluster(rows.copy(), 3))


def test_the_number_of_clusters_follows_the_size_up_to_a_bound() -> None:
    rng = np.random.default_rng(0)
    for n, k in ((0, 0), (1, 1), (2, 1), (8, 2), (5000, MOST)):
        found = cluster(rng.normal(size=(n, 3)), 0)
        assert found.shape == (n,)
        assert len(np.unique(found)) == k
    assert cluster(np.ones((50, 4)), 0).tolist() == [0] * 50


def test_large_pools_are_clustered_by_batches_and_still_seeded() -> None:
    rows = blobs(20_001)
    found = cluster(rows, 0)
    np.testing.assert_array_equal(found, cluster(rows, 0))
    assert len(np.unique(found)) == MOST
