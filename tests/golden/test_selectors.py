"""Selectors against orders, quotas and rows that the authors' own code produced."""

import csv
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.policies import Candidates, build
from core.policies.budget import Budget
from core.policies.knn_kde import densities, kde_shares, neighbours
from core.policies.knn_uniform import knn_uniform
from core.policies.max_mean import max_mean
from core.policies.optimal_transport import column_mass
from core.policies.quotas import adg_part
from core.policies.round_robin import quantile_bins

FLOAT32, FLOAT64 = {"rtol": 1e-5, "atol": 1e-7}, {"rtol": 1e-9, "atol": 1e-14}
PUBLISHED = {
    "RR": "round_robin",
    "DG": "doubly_greedy",
    "UOT": "optimal_transport",
    "KNN-Unif.": "knn_uniform",
    "KNN-KDE": "knn_kde",
}


def read(golden: Path, name: str) -> Any:
    return json.loads((golden / name).read_text())


def published(golden: Path, name: str) -> Path:
    """A file of published results: of others' making, so it has no copy here."""
    if not (golden / name).is_file():
        pytest.skip(f"needs {name}, which is not in {golden}")
    return golden / name


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as lines:
        return list(csv.DictReader(lines))


def order_of(policy: str, similarity: np.ndarray, **params: Any) -> list[int]:
    """The whole order that a policy gives, from similarities (m, n) as the files hold them."""
    n = similarity.shape[1]
    candidates = Candidates(np.zeros(n), np.full(n, np.nan), similarity=similarity.T)
    rows = build(policy, params).choose(candidates, Budget.parse("100%")).rows
    return list(rows.tolist())


@pytest.fixture(scope="module")
def targeted(golden: Path) -> dict[str, Any]:
    with np.load(golden / "targeted_inputs.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    return dict(read(golden, "targeted.json")) | arrays


@pytest.fixture(scope="module")
def scaled(golden: Path) -> dict[str, Any]:
    with np.load(golden / "targeted_knn_scaled.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    return dict(read(golden, "targeted_knn_scaled.json")) | arrays


def test_round_robin_and_doubly_greedy_are_those_of_the_authors(targeted: dict[str, Any]) -> None:
    for policy in ("round_robin", "doubly_greedy"):
        assert order_of(policy, targeted["influence"]) == targeted["order"][policy]


def test_tiny_matrices_with_ties_are_as_worked_out_by_hand(targeted: dict[str, Any]) -> None:
    for case in targeted["tiny"]:
        similarity = np.array(case["sim"])
        for policy in ("round_robin", "doubly_greedy"):
            assert order_of(policy, similarity) == case[policy], case
        np.testing.assert_allclose(similarity.max(0), case["doubly_greedy_max"])


def test_transported_mass_and_its_order_are_those_of_pot(targeted: dict[str, Any]) -> None:
    told = targeted["uot"]
    assert float(told["reg_m1"]) == np.inf
    mass, settled = column_mass(targeted["influence"].T, told["eps"], told["reg_m2"])
    assert settled
    np.testing.assert_allclose(np.exp(mass), told["column_mass"], **FLOAT64)
    params = {"epsilon": told["eps"], "column_penalty": told["reg_m2"]}
    found = order_of("optimal_transport", targeted["influence"], **params)
    assert found == targeted["order"]["uot"]


def test_uniform_shares_k_and_order_are_those_of_the_authors(
    targeted: dict[str, Any], scaled: dict[str, Any]
) -> None:
    for similarity, told, order in (
        (targeted["influence"], targeted["knn_uniform"], targeted["order"]["knn_uniform"]),
        (scaled["sim"], scaled["knn_uniform"], scaled["knn_uniform"]["order"]),
    ):
        share, k = knn_uniform(similarity.T, told["alpha"], told["C"], told["L"])
        assert k == told["K"]
        np.testing.assert_allclose(share, told["probs"], **FLOAT64)
        params = {"alpha": told["alpha"], "scale": told["C"], "cap": told["L"]}
        assert order_of("knn_uniform", similarity, **params) == order


def side_by_side(targeted: dict[str, Any]) -> np.ndarray:
    """The unit rows of all epochs as one matrix whose products are the weighted cosines."""
    epochs = zip(targeted["avg_lr_normalized"], targeted["ckpt_to_embedding_index"], strict=True)
    return np.concatenate([w**0.5 * targeted[f"train_unit_ckpt{t}"] for w, t in epochs], 1)


def ordered_but_for_noise(order: np.ndarray, probs: np.ndarray) -> bool:
    """Whether `order` is that of `probs`, whose float32 noise may order near duplicates."""
    whole = sorted(order.tolist()) == list(range(len(probs)))
    return whole and bool((np.diff(probs[order]) <= 1e-6 * probs.max()).all())


def test_shares_and_order_from_the_authors_densities_are_theirs(targeted: dict[str, Any]) -> None:
    told, similarity = targeted["knn_kde"], targeted["influence"].T
    near = neighbours(similarity, 5000)
    assert near.shape[1] == told["max_k"]
    assert sorted(map(int, told["kde"])) == np.unique(near).tolist()
    density = np.full(len(similarity), np.nan, np.float32)
    density[[int(i) for i in told["kde"]]] = list(told["kde"].values())
    found = kde_shares(similarity, near, density, told["alpha"], told["C"])
    assert found.last.tolist() == told["lastK"]
    assert found.total == pytest.approx(told["s"], rel=1e-6)
    np.testing.assert_allclose(found.share, told["probs"], **FLOAT32)
    order, probs = np.argsort(-found.share, kind="stable"), np.array(told["probs"])
    assert np.argsort(-probs, kind="stable").tolist() == targeted["order"]["knn_kde"]
    assert ordered_but_for_noise(order, probs)


def test_densities_shares_and_order_from_gradients_are_those_of_the_authors(
    targeted: dict[str, Any], scaled: dict[str, Any]
) -> None:
    for similarity, features, told in (
        (targeted["influence"].T, side_by_side(targeted), targeted["knn_kde"]),
        (scaled["sim"].T, scaled["train_unit"], scaled["knn_kde"]),
    ):
        near = neighbours(similarity, 5000)
        rows = np.unique(near)
        density = np.full(len(similarity), np.nan)
        density[rows] = densities(features[rows], told["kde_k"], told["sigma"])
        for row, expected in told.get("kde", {}).items():
            assert density[int(row)] == pytest.approx(expected, rel=1e-5)
        found = kde_shares(similarity, near, density, told["alpha"], told["C"])
        assert found.last.tolist() == told["lastK"]
        assert found.total == pytest.approx(told["s"], rel=1e-5)
        probs = np.array(told["probs"])
        np.testing.assert_allclose(found.share, probs, **FLOAT32)
        unused = np.zeros(len(probs))
        candidates = Candidates(unused, unused, similarity=similarity, features=features)
        params = {"alpha": told["alpha"], "scale": told["C"], "sigma": told["sigma"]}
        order = build("knn_kde", params).choose(candidates, Budget.parse("100%")).rows
        assert ordered_but_for_noise(order, probs)


def test_quantile_bins_are_those_of_the_authors(targeted: dict[str, Any]) -> None:
    told = targeted["quantiles"]
    taken = max(len(rows) for rows in told["all"].values())
    bins = quantile_bins(np.array(targeted["order"]["round_robin"]), len(told["all"]))
    assert [part[:taken].tolist() for part in bins] == list(told["all"].values())
    first = quantile_bins(bins[0], len(told["focus_quantile0"]))
    assert [part[:taken].tolist() for part in first] == list(told["focus_quantile0"].values())


def test_rank_correlations_of_the_published_bins_are_as_told(golden: Path) -> None:
    rows = table(published(golden, "targeted_quantile_results.csv"))
    for told in json.loads(published(golden, "targeted_quantile_spearman.json").read_text()):
        same = ("model", "dataset", "method")
        mine = [row for row in rows if all(row[k] == told[k] for k in same)]
        assert len(mine) == told["n"]
        bins = [int(row["bin"]) for row in mine]
        assert sorted(bins) == list(range(len(quantile_bins(np.arange(100), told["n"]))))
        for column, key in (("query_loss", "query_loss"), ("true_metric", "metric")):
            rho = spearmanr(bins, [float(row[column]) for row in mine]).statistic
            assert rho == pytest.approx(float(told[f"spearman_bin_vs_{key}"]), rel=1e-9)


def test_every_selector_of_the_published_results_is_a_policy_and_its_budgets_can_be_given(
    golden: Path,
) -> None:
    rows = table(published(golden, "targeted_budget_results.csv"))
    methods = {row["method"] for row in rows}
    selectors = {m.partition("(")[2].rstrip(")") for m in methods if "(" in m}
    assert selectors <= set(PUBLISHED)
    for name in [*selectors, *(m.lower() for m in methods if m == "Random")]:
        assert build(PUBLISHED.get(name, name)).name
    for text in {row["num_samples"] for row in rows} - {"0"}:
        assert Budget.parse(text).limit(10**6, np.array([])) == int(text)


def test_less_scores_and_selected_rows_are_those_of_the_authors(golden: Path) -> None:
    told = read(golden, "less.json")
    weights = np.array(told["checkpoint_weights"]) / np.sum(told["checkpoint_weights"])
    with np.load(golden / "less_influence_inputs.npz") as x:
        steps = sorted(
            (n.removeprefix("val_ckpt") for n in x.files if n.startswith("val_")), key=int
        )
        similarity = np.concatenate(
            [
                sum(
                    w * x[f"train_{file}_ckpt{step}"] @ x[f"val_ckpt{step}"].T
                    for w, step in zip(weights, steps, strict=True)
                )
                for file in told["files"]
            ]
        )
    names = [(file, i) for file, n in told["files"].items() for i in range(n)]
    assert similarity.shape == (len(names), told["n_subtasks"] * told["val_per_subtask"])
    score = np.concatenate([told["influence_score"][file] for file in told["files"]])
    np.testing.assert_allclose(max_mean(similarity, told["n_subtasks"]), score, **FLOAT32)
    n = len(names)
    candidates = Candidates(np.zeros(n), np.full(n, np.nan), similarity=similarity)
    policy = build("max_mean", {"subtasks": told["n_subtasks"]})
    for share, expected in told["selected"].items():
        budget = Budget(Decimal(int(float(share) * n)), share=False, unit="samples")  # 0 as well
        rows = policy.choose(candidates, budget).rows
        assert [list(names[i]) for i in rows] == expected, share


def test_adg_takes_the_rows_of_the_authors_from_every_bin(golden: Path) -> None:
    for case in read(golden, "adg.json")["selections"]:
        value, group = np.array(case["combined"]), np.array(case["cluster_labels"])
        for part in ("top", "middle", "bottom"):
            rows = adg_part(value, group, np.ones(case["n"]), case["final_count"], part)
            assert rows.tolist() == case[part], (case["n"], part)
        candidates = Candidates(value, np.full(case["n"], np.nan), group)
        chosen = build("quotas", {"rule": "adg"}).choose(
            candidates, Budget.parse(str(case["final_count"]))
        )
        assert chosen.rows.tolist() == case["top"]
        assert bool(chosen.notes) == (len(case["top"]) < case["final_count"])
        whole = build("quotas").choose(candidates, Budget.parse(str(case["final_count"]))).rows
        # the rule we follow spends the whole budget, where the samples last
        assert len(whole) == min(case["final_count"], case["n"])


def relabelled(labels: Sequence[int], order: Sequence[int]) -> np.ndarray:
    """Labels renamed so that clusters named in `order` come first, in that order.

    Our ties go by label; the authors sort sizes with an unstable sort.
    """
    place = {label: k for k, label in enumerate(dict.fromkeys([*order, *sorted(set(labels))]))}
    return np.array([place[label] for label in labels])


def test_balanced_quotas_and_rows_are_those_of_the_authors(golden: Path) -> None:
    told = read(golden, "s2l.json")
    for case in [*told["balanced"], *told["balanced_preset_labels"]]:
        labels = case.get("cluster_labels", case.get("labels"))
        n, reference = len(labels), {"smallest": 3, "draw": "reference", "seed": case["numpy_seed"]}
        picked = [labels[i] for i in case.get("selected", [])]
        candidates = Candidates(np.zeros(n), np.full(n, np.nan), relabelled(labels, picked))
        budget = Budget.parse(str(case["budget"]))
        chosen = build("water_filling", reference).choose(candidates, budget)
        if "error" in case:  # the authors end with an error; we take what is there and say so
            assert sorted(chosen.rows.tolist()) == list(range(n))
            assert chosen.notes
            continue
        assert chosen.rows.tolist() == case["selected"]
        clusters = len(case["selected_per_cluster"])  # the last ones may be empty
        counts = np.bincount(np.array(labels)[chosen.rows], minlength=clusters)
        assert counts.tolist() == case["selected_per_cluster"]
        own = build("water_filling", {"smallest": 3}).choose(candidates, budget).rows
        # which of the smaller ones come last is drawn
        large = np.bincount(labels, minlength=clusters) >= 3
        drawn = np.bincount(np.array(labels)[own], minlength=clusters)
        assert drawn[large].tolist() == counts[large].tolist()
        assert len(own) == len(chosen.rows)


def test_sources_are_balanced_as_by_the_authors(golden: Path) -> None:
    told = read(golden, "s2l.json")
    names, source = np.unique(told["sources"], return_inverse=True)
    sizes = np.bincount(source)
    for case in told["stratified"]:
        group, calls = np.zeros(told["N"], np.int64), list(case["kmeans_labels_per_call"])
        for s in np.argsort(sizes, kind="stable").tolist():
            if calls and len(calls[0]) == sizes[s]:  # a source that fits whole is not clustered
                labels = calls.pop(0)
                # as the authors sort, ties too; another processor's sort may order them anew
                group[source == s] = relabelled(labels, np.argsort(np.bincount(labels)).tolist())
        assert not calls
        candidates = Candidates(np.zeros(told["N"]), np.full(told["N"], np.nan), group, source)
        params = {"smallest": 3, "by_source": True, "draw": "reference", "seed": case["numpy_seed"]}
        chosen = build("water_filling", params).choose(
            candidates, Budget.parse(str(case["budget"]))
        )
        taken = np.bincount(source[chosen.rows], minlength=len(names)).tolist()
        counts = dict(zip(names.tolist(), taken, strict=True))
        assert counts == {name: case["per_source"][name] for name in counts}
        if unstable_as_there(told):
            assert sorted(chosen.rows.tolist()) == case["selected_sorted"]


def unstable_as_there(told: dict[str, Any]) -> bool:
    """Whether this processor's unstable sort orders ties as the one that made the files."""
    for case in told["balanced"]:
        labels, picked = np.array(case["cluster_labels"]), case["selected"]
        ascending = np.argsort(np.bincount(labels)).tolist()
        if list(dict.fromkeys(labels[picked].tolist())) != [c for c in ascending if c in labels]:
            return False
    return True
