"""Which queries a subset serves, against loops over everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import coverage as cov


def case(seed, n=40, m=5, clusters=4):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-3, 8, (n, m)).astype(np.float32) / 10  # many ties
    similarity[rng.random(n) < 0.1] = np.nan
    cluster = rng.integers(-1, clusters, n)
    rows = rng.permutation(n)[: rng.integers(0, n + 1)]
    return similarity, rows, cluster, clusters


@given(st.integers(0, 500), st.sampled_from(["max", "mean"]))
@settings(max_examples=60, deadline=None)
def test_coverage_is_what_a_loop_over_clusters_finds(seed, how):
    similarity, rows, cluster, clusters = case(seed)
    found = cov.coverage(similarity, rows, cluster, clusters, how)
    for c in range(clusters):
        mine = [r for r in sorted(rows) if cluster[r] == c and np.isfinite(similarity[r]).all()]
        assert found.size[c] == len(mine)
        for q in range(similarity.shape[1]):
            if not mine:
                assert np.isnan(found.value[c, q])
                assert found.row[c, q] == -1
                continue
            each = [float(similarity[r, q]) for r in mine]
            wanted = max(each) if how == "max" else sum(each) / len(each)
            assert found.value[c, q] == pytest.approx(wanted, abs=1e-6)
            assert found.row[c, q] == mine[int(np.argmax(each))]


@given(st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_the_nearest_kept_sample_of_each_query_is_the_best_of_all_clusters(seed):
    similarity, rows, cluster, _ = case(seed)
    best, row = cov.nearest(similarity, rows)
    whole = cov.coverage(similarity, rows, np.zeros(len(cluster), np.int64), 1)
    np.testing.assert_allclose(best, whole.value[0], equal_nan=True)
    finite = row >= 0
    assert (similarity[row[finite], np.flatnonzero(finite)] == best[finite]).all()


def test_a_query_is_served_from_the_level_on_and_never_by_nothing():
    assert cov.served(np.array([0.1, 0.2, 0.3, np.nan]), 0.2).tolist() == [False, True, True, False]
    best, row = cov.nearest(np.zeros((3, 2), np.float32), np.zeros(0, np.int64))
    assert np.isnan(best).all()
    assert (row == -1).all()


def test_the_level_is_a_percentile_of_all_pairs_and_a_thinned_one_is_near_it(monkeypatch):
    similarity = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    whole = cov.level(similarity, 99)
    assert whole == pytest.approx(np.percentile(similarity, 99))
    monkeypatch.setattr(cov, "PAIRS", 6_000)
    assert cov.level(similarity, 99) == pytest.approx(whole, abs=0.1)
    assert np.isnan(cov.level(np.full((3, 2), np.nan), 99))
    assert np.isnan(cov.level(np.zeros((0, 2)), 99))


def test_the_least_served_query_comes_first_and_the_nearest_cluster_on_top():
    value = np.array([[0.1, 0.9], [np.nan, np.nan], [0.3, 0.8]])
    rows, columns = cov.arranged(value)
    assert rows.tolist() == [2, 0, 1]
    assert columns.tolist() == [0, 1]


@given(st.integers(0, 500), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_the_ends_of_a_list_are_sorted_and_share_no_sample(seed, most):
    similarity, rows, _, _ = case(seed)
    one = similarity[:, 0].astype(np.float64)
    best, worst = cov.ends(one, rows, most)
    usable = sorted((r for r in rows if np.isfinite(one[r])), key=lambda r: (-one[r], r))
    assert not set(best) & set(worst)
    assert best.tolist() == usable[: len(best)]
    assert worst.tolist() == usable[::-1][: len(worst)]
    assert len(best) + len(worst) == min(2 * most, len(usable))


@given(st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_jaccard_is_what_sets_say(seed):
    rng = np.random.default_rng(seed)
    subsets = [rng.permutation(20)[: rng.integers(0, 12)] for _ in range(4)]
    found = cov.jaccard(subsets, 20)
    for i, a in enumerate(subsets):
        for j, b in enumerate(subsets):
            either = set(a) | set(b)
            assert found[i, j] == (len(set(a) & set(b)) / len(either) if either else 1)
