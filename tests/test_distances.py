"""The distance of a subset to a query set, against a linear programme and plain loops."""

import numpy as np
import pytest
from scipy.optimize import linprog

from core import distances


def exact(distance):
    """W1 as a linear programme over all b * m flows."""
    b, m = distance.shape
    sums = np.zeros((b + m, b * m))
    for j in range(b):
        sums[j, j * m : (j + 1) * m] = 1
    for q in range(m):
        sums[b + q, q::m] = 1
    mass = np.r_[np.full(b, 1 / b), np.full(m, 1 / m)]
    return linprog(distance.ravel(), A_eq=sums, b_eq=mass, method="highs").fun


@pytest.mark.parametrize("seed", range(12))
def test_transport_is_the_linear_programmes_within_its_bound_and_never_above(seed):
    rng = np.random.default_rng(seed)
    b, m = int(rng.integers(1, 60)), int(rng.integers(1, 9))
    distance = 1 - rng.normal(0.2, 0.15, (b, m)) - rng.normal(0, 0.2, m) * (seed % 2)
    found, wanted = distances.transport(distance).distance, exact(distance)
    assert found <= wanted + 1e-9
    assert wanted - found <= np.log(m) * distances.FLOOR * np.ptp(distance) + 1e-9


def test_a_start_from_a_similar_problem_gives_the_same():
    rng = np.random.default_rng(5)
    distance = rng.random((80, 6))
    cold = distances.transport(distance)
    warm = distances.transport(distance, distances.transport(distance[:40]).price)
    assert warm.distance == pytest.approx(cold.distance, abs=2e-3)


def test_equal_distances_need_no_transport_plan():
    assert distances.transport(np.full((7, 3), 0.4)).distance == pytest.approx(0.4)
    assert distances.transport(np.array([[0.1, 0.5]])).distance == pytest.approx(0.3)


def test_transport_sees_a_query_that_gets_nothing_of_its_own_and_nearest_a_far_rest():
    near_one = np.tile([1.0, 0.0], (10, 1))  # all samples near the first query
    shared = np.repeat(np.eye(2), 5, axis=0)
    at = np.array([10])
    for measure in ("transport", "nearest"):
        assert distances.along(near_one, at, measure)[0] == pytest.approx(0.5, abs=0.01)
        assert distances.along(shared, at, measure)[0] == pytest.approx(0, abs=0.01)
    padded = np.vstack([np.eye(2), np.zeros((8, 2))])
    assert distances.along(padded, at, "nearest")[0] == 0
    assert distances.along(padded, at, "transport")[0] == pytest.approx(0.8, abs=0.01)


def test_nearest_at_every_budget_is_a_loop_over_prefixes():
    similarity = np.random.default_rng(1).random((30, 4)).astype(np.float32)
    at = distances.budgets(30)
    found = distances.along(similarity, at, "nearest")
    wanted = [1 - similarity[:size].max(0).mean() for size in at]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert (np.diff(found) <= 1e-12).all()


@pytest.mark.parametrize("most", [1, 2, 7, 1000, 100_000])
def test_budgets_rise_from_one_to_the_most(most):
    at = distances.budgets(most)
    assert (at[0], at[-1]) == (1, most)
    assert (np.diff(at) > 0).all()
    assert len(distances.budgets(0)) == 0


def test_a_large_subset_is_thinned_and_keeps_its_distance():
    similarity = np.random.default_rng(2).normal(size=(20_000, 4)) / 10
    assert distances.thinned(similarity).shape == (distances.SAMPLES, 4)
    assert distances.thinned(similarity[:50]).tolist() == similarity[:50].tolist()
    few, many = distances.along(similarity, np.array([1024, 20_000]), "transport")
    assert many == pytest.approx(few, abs=0.02)


def test_the_band_of_random_orders_holds_nine_of_ten_and_never_what_is_best():
    rng = np.random.default_rng(3)
    similarity = rng.random((200, 3)).astype(np.float32)
    at = distances.budgets(40)
    orders = [rng.permutation(200)[:40] for _ in range(40)]
    low, middle, high = distances.band(similarity, orders, at, "nearest")
    each = np.array([distances.along(similarity[rows], at, "nearest") for rows in orders])
    inside = ((each >= low) & (each <= high)).mean(0)
    assert (inside >= 0.85).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    first = similarity[similarity.argmax(0)]  # each query's nearest: no subset comes nearer
    best = distances.along(first, np.array([3]), "nearest")
    assert (best < low).all()


def test_an_order_is_measured_without_the_samples_that_have_no_similarity():
    similarity = np.random.default_rng(4).random((20, 3))
    similarity[7] = np.nan
    rows = np.array([3, 7, 5, 1])
    at, found = distances.of_order(similarity, rows, "nearest")
    assert at.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found, distances.along(similarity[[3, 5, 1]], at, "nearest"))
    assert len(distances.of_order(similarity, np.array([7]), "transport")[0]) == 0
