"""Policies that choose by query beside the slow obvious versions; what holds for all policies."""

from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from core.errors import BudgetError
from core.policies import Candidates, build, catalogue
from core.policies.budget import Budget
from core.policies.doubly_greedy import doubly_greedy
from core.policies.knn_kde import densities, kde_shares, neighbours
from core.policies.knn_uniform import knn_uniform
from core.policies.max_mean import max_mean
from core.policies.optimal_transport import column_mass
from core.policies.round_robin import quantile_bins, round_robin
from core.policies.similarity import closest, nearest

BY_QUERY = [name for name, card in catalogue().items() if "similarity" in card.needs]
ORDERINGS = [*BY_QUERY, "top", "trim", "random"]
BUDGETS = ("1", "7", "25%", "100%", "40 tokens", "30% tokens", "100000 tokens")


def similar(n: int, m: int, seed: int, coarse: bool) -> np.ndarray:
    """Random similarities (n, m); coarse ones have many ties."""
    draw = np.random.default_rng(seed)
    exact = draw.uniform(-1, 1, (n, m)).astype(np.float32)
    return np.round(exact * 3) / 3 if coarse else exact


def pool(n: int = 60, m: int = 5, seed: int = 0) -> Candidates:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(n, 8))
    value = draw.permutation(n) * 1.0
    value[draw.random(n) < 0.15] = np.nan
    return Candidates(
        value,
        draw.integers(1, 9, n) * 1.0,
        draw.integers(0, 4, n),
        draw.integers(0, 3, n),
        similar(n, m, seed, coarse=False),
        draw.permutation(10 * n)[:n],
        (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32),
    )


def part(candidates: Candidates, rows: np.ndarray) -> Candidates:
    """Some samples of a pool, in another order."""
    fields = vars(candidates).items()
    return Candidates(**{name: None if x is None else x[rows] for name, x in fields})


def chosen(name: str, candidates: Candidates, budget: str, **params: Any) -> np.ndarray:
    return build(name, params).choose(candidates, Budget.parse(budget)).rows


CASES = st.tuples(st.integers(1, 25), st.integers(1, 6), st.integers(0, 999), st.booleans())


@given(CASES, st.integers(1, 30))
def test_the_nearest_are_those_of_a_stable_sort(case: Any, k: int) -> None:
    similarity = similar(*case)
    for column, found in zip(similarity.T, nearest(similarity, k), strict=True):
        assert found.tolist() == np.argsort(-column, kind="stable")[:k].tolist()


@given(st.integers(0, 999), st.booleans(), st.integers(1, 60))
def test_the_closest_are_those_of_a_stable_sort_and_more(seed: int, coarse: bool, k: int) -> None:
    similarity = similar(900, 4, seed, coarse)
    similarity[:, 0] = np.sort(similarity[:, 0])  # the rows looked at tell little of such a pool
    for column, found in zip(similarity.T, closest(similarity, k), strict=True):
        whole = np.argsort(-column, kind="stable").tolist()
        assert len(found) >= k
        assert found.tolist() == whole[: len(found)]


def test_where_the_rows_looked_at_mislead_the_closest_are_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    similarity = similar(900, 3, 0, coarse=False)
    monkeypatch.setattr("core.policies.similarity.LOOKED_AT", 90)
    similarity[::10] += 2  # every row that is looked at is closer than all others
    found = closest(similarity, 100)
    for column, rows in zip(similarity.T, found, strict=True):
        assert rows.tolist()[:100] == np.argsort(-column, kind="stable")[:100].tolist()


def scan_for_every_pick(similarity: np.ndarray, most: int) -> list[int]:
    left, expected = np.ones(len(similarity), bool), []
    for query in cycle(range(similarity.shape[1])):
        if len(expected) == most or not left.any():
            break
        pick = int(np.where(left, similarity[:, query], -np.inf).argmax())
        left[pick] = False
        expected.append(pick)
    return expected


@given(CASES, st.integers(0, 30))
def test_round_robin_is_a_scan_for_every_pick(case: Any, most: int) -> None:
    similarity = similar(*case)
    assert round_robin(similarity, most).tolist() == scan_for_every_pick(similarity, most)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("coarse", [False, True])
def test_round_robin_in_a_large_pool_is_the_same_scan(alike: bool, coarse: bool) -> None:
    similarity = similar(2000, 9, 3, coarse)
    if alike:  # all queries want the same samples: their lists run out
        similarity[:] = similarity[:, :1]
    for most in (100, 230, 1900):
        assert round_robin(similarity, most).tolist() == scan_for_every_pick(similarity, most)


@given(CASES)
def test_doubly_greedy_sorts_by_the_best_query(case: Any) -> None:
    similarity = similar(*case)
    expected = sorted(range(len(similarity)), key=lambda i: -max(similarity[i]))
    assert doubly_greedy(similarity).tolist() == expected


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_max_mean_is_the_best_subtask_on_average(n: int, tasks: int, each: int, seed: int) -> None:
    similarity = similar(n, tasks * each, seed, coarse=False)
    for row, found in zip(similarity.astype(float), max_mean(similarity, tasks), strict=True):
        subtasks = [row[k * each : (k + 1) * each] for k in range(tasks)]
        assert found == pytest.approx(max(sum(s) / each for s in subtasks), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("epsilon", "penalty"), [(0.1, 1e-4), (0.05, 0.02), (0.3, 0.3)])
def test_transport_is_sinkhorn_with_plain_numbers(epsilon: float, penalty: float) -> None:
    similarity = similar(30, 4, 3, coarse=False).astype(np.float64)
    kernel = np.exp((similarity.T - 1) / 2 / epsilon) / (30 * 4)  # (m, n)
    v = np.ones(30)
    for _ in range(3000):
        u = (1 / 4) / (kernel @ v)
        v = ((1 / 30) / (kernel.T @ u)) ** (penalty / (penalty + epsilon))
    mass, settled = column_mass(similarity, epsilon, penalty)
    assert settled
    np.testing.assert_allclose(np.exp(mass), (u[:, None] * kernel * v).sum(0), rtol=1e-4)


def test_transport_at_a_low_temperature_is_one_vote_a_query_and_no_sample_is_lost() -> None:
    similarity = similar(200, 7, 0, coarse=False)
    mass, _ = column_mass(similarity, 1e-5, 1e-7)
    assert np.isfinite(mass).all()
    assert len(np.unique(mass)) > 190  # plain numbers would underflow to 0
    votes = np.bincount(similarity.argmax(0), minlength=200) / 7
    np.testing.assert_allclose(np.exp(mass), votes, atol=0.02)


def test_transport_with_nearly_free_columns_is_a_softmax_of_every_query() -> None:
    similarity = similar(100, 5, 1, coarse=False).astype(np.float64)
    votes = np.exp(similarity / 0.02)
    votes = (votes / votes.sum(0)).mean(1)
    mass, _ = column_mass(similarity, 0.01, 1e-4)
    assert spearmanr(mass, votes).statistic > 0.999


@given(CASES, st.sampled_from([0.01, 0.3, 0.7]), st.sampled_from([0.01, 0.2, 5.0]))
def test_knn_uniform_grows_k_one_at_a_time(case: Any, alpha: float, scale: float) -> None:
    similarity = similar(*case).astype(np.float64)
    n, m = similarity.shape
    near = [np.argsort(-column, kind="stable") for column in similarity.T]
    d = [1 - column[order] for column, order in zip(similarity.T, near, strict=True)]
    k = 1
    while k < n and alpha / scale * sum(x[k] - x[j] for x in d for j in range(k)) < (1 - alpha) * m:
        k += 1
    expected = np.zeros(n)
    for order in near:
        expected[order[:k]] += 1 / (k * m)
    share, found = knn_uniform(similarity, alpha, scale, 5000)
    assert found == k
    np.testing.assert_allclose(share, expected)


def test_neighbours_at_no_distance_keep_pool_order() -> None:
    similarity = np.array([[0.5], [1.0], [3.0], [1 - 1e-9], [2.0], [-1.0]])
    assert neighbours(np.tile(similarity, (8, 2)), 5000).tolist() == [[1, 2, 4, 7]] * 2


@pytest.mark.parametrize("scale", [1e-3, 0.02, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_knn_kde_lets_the_query_that_has_least_go_on(scale: float, seed: int) -> None:
    candidates, alpha, sigma = pool(120, 4, seed), 0.01, 1.2
    similarity, features = candidates.similarity, candidates.features
    assert similarity is not None
    assert features is not None
    near = neighbours(similarity, 5000)
    m, k = near.shape
    assert k == 12
    rows = np.unique(near).tolist()
    density = {}
    for i in rows:
        closest = sorted(1 - float(features[i].astype(float) @ features[j]) for j in rows)[:10]
        density[i] = sum(max(0.0, 1 - 2 * max(d, 0.0) / sigma**2) for d in closest)
    known = np.full(120, np.nan)
    known[rows] = densities(features[rows], 10, sigma)
    np.testing.assert_allclose([known[i] for i in rows], [density[i] for i in rows], atol=2e-6)

    d = [[max(0.0, 1 - float(similarity[i, q])) for i in near[q]] for q in range(m)]
    at, last, total = [0] * m, [-1] * m, 0.0
    while any(place < k - 1 for place in at):
        parts = [sum(1 / density[i] for i in near[q][: at[q] + 1]) for q in range(m)]
        q = min((q for q in range(m) if at[q] < k - 1), key=lambda q: (parts[q], at[q], q))
        total, place = parts[q], at[q]
        slack = 0.0
        for other in range(m):
            seen = place + 1 if other == q else last[other] + 1
            ahead = [d[other][seen] - d[other][j] for j in range(seen)]
            slack += sum(x / density[near[other][j]] for j, x in enumerate(ahead))
        if alpha / scale * slack >= (1 - alpha) * m:
            break
        last[q], at[q] = place, place + 1
    expected = np.zeros(120)
    for q in range(m):
        given_ = 0.0
        for j in range(last[q] + 1):
            expected[near[q][j]] += 1 / (m * total * density[near[q][j]])
            given_ += 1 / (m * total * density[near[q][j]])
        expected[near[q][last[q] + 1]] += max(1 / m - given_, 0.0)
    found = kde_shares(similarity, near, known, alpha, scale)
    assert found.last.tolist() == last
    np.testing.assert_allclose(found.share, expected, rtol=1e-4, atol=1e-7)
    assert found.capped == (max(last) == k - 2)
    assert found.capped == (scale > 1e-3)


def test_near_duplicates_share_one_unit_of_mass() -> None:
    features = np.eye(40, dtype=np.float32)
    features[1] = features[2] = features[0]
    density = densities(features, 40, 0.75)
    assert density.tolist() == [3.0] * 3 + [1.0] * 37


def test_quantile_bins_are_equal_and_the_last_takes_the_rest() -> None:
    bins = quantile_bins(np.arange(47), 10)
    assert [len(part) for part in bins] == [4] * 9 + [11]
    assert np.concatenate(bins).tolist() == list(range(47))


def test_subtasks_that_do_not_divide_the_queries_are_refused_with_those_that_do() -> None:
    with pytest.raises(BudgetError, match=r"6 queries .* Got 4. Use one of: 1, 2, 3, 6\."):
        chosen("max_mean", pool(m=6), "5", subtasks=4)


@pytest.mark.parametrize("name", BY_QUERY)
def test_a_similarity_that_is_no_number_is_refused_where_it_counts(name: str) -> None:
    candidates = pool()
    assert candidates.similarity is not None
    dropped, kept = np.flatnonzero(np.isnan(candidates.value))[0], candidates.rows[0]
    before = chosen(name, candidates, "10")
    candidates.similarity[dropped] = np.nan
    assert chosen(name, candidates, "10").tolist() == before.tolist()
    candidates.similarity[kept, 3] = np.nan
    with pytest.raises(BudgetError, match=f"not a finite number. Got 'sample {kept} to query 3'"):
        chosen(name, candidates, "10")


@pytest.mark.parametrize("name", BY_QUERY)
def test_no_query_is_one_sentence(name: str) -> None:
    with pytest.raises(BudgetError, match="there are no queries to choose by"):
        chosen(name, pool(m=0), "10")


def test_a_k_at_its_cap_and_a_tie_at_the_end_of_the_budget_are_noted() -> None:
    candidates = pool()
    found = build("knn_uniform").choose(candidates, Budget.parse("10"))
    assert found.rows.tolist() == candidates.rows[:10].tolist()  # all shares are equal
    assert [note.split()[0] for note in found.notes] == ["K", str(len(candidates.rows))]
    quiet = build("knn_uniform", {"scale": 1e-3}).choose(candidates, Budget.parse("100%"))
    assert not quiet.notes
    capped = build("knn_kde").choose(candidates, Budget.parse("100%"))
    assert capped.notes[0].startswith("The queries hit the cap of their neighbours")


def test_too_many_neighbours_to_compare_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.policies.knn_kde.MOST", 5)
    with pytest.raises(BudgetError, match=r"knn_kde.cap: .* Lower cap, which is 5,000 now"):
        chosen("knn_kde", pool(), "10")


# what holds for every policy


@pytest.mark.parametrize("name", catalogue())
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_policy_stays_within_the_budget_and_chooses_what_has_a_value_once(
    name: str, budget: str
) -> None:
    for seed in range(3):
        candidates = pool(seed=seed)
        rows = chosen(name, candidates, budget)
        limit = Budget.parse(budget).limit(candidates.n, candidates.n_tokens)
        spent = candidates.n_tokens[rows].sum() if "tokens" in budget else len(rows)
        assert spent <= limit
        assert rows.dtype == np.int64
        assert len(set(rows.tolist())) == len(rows)
        assert not np.isnan(candidates.value[rows]).any()


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("unit", ["", " tokens"])
def test_a_smaller_budget_is_a_prefix_of_a_larger_one(name: str, unit: str) -> None:
    candidates = pool()
    whole = chosen(name, candidates, f"{10**6}{unit}").tolist()
    for amount in (1, 3, 17, 40):
        rows = chosen(name, candidates, f"{amount}{unit}").tolist()
        assert rows == whole[: len(rows)]


@pytest.mark.parametrize("name", catalogue())
def test_what_cannot_be_chosen_changes_nothing(name: str) -> None:
    candidates = pool()
    rows = candidates.rows
    for budget in ("9", "60 tokens"):
        alone = rows[chosen(name, part(candidates, rows), budget)]
        assert chosen(name, candidates, budget).tolist() == alone.tolist()


@pytest.mark.parametrize("name", [n for n in catalogue() if n != "knn_uniform"])  # full of ties
def test_the_order_of_the_pool_decides_ties_alone(name: str) -> None:
    candidates, moved = pool(), np.random.default_rng(9).permutation(60)
    for budget in ("9", "60 tokens"):
        rows = chosen(name, candidates, budget)
        again = moved[chosen(name, part(candidates, moved), budget)]
        assert sorted(again.tolist()) == sorted(rows.tolist())


@pytest.mark.parametrize("name", catalogue())
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_pool_of_almost_nothing_is_no_special_case(name: str, n: int) -> None:
    everything = part(pool(), pool().rows[:n])
    for budget in ("2", "50%", "100%", "5 tokens"):
        rows = chosen(name, everything, budget)
        assert len(rows) <= n
    nothing = part(pool(), np.flatnonzero(np.isnan(pool().value)))
    assert len(chosen(name, nothing, "5")) == 0
