"""Loss trajectories: checkpoints, clusters that no pool order changes, and what is left out."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from core.domain import Scores
from core.methods import Method, build
from core.signals import TokenStats
from core.trajectories import clustered, scaled, thinned


def method(**params: Any) -> Method:
    return build("loss_trajectory", params)


def blobs(sizes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated trajectories of 5 points, and which centre each is near."""
    rng = np.random.default_rng(seed)
    centre = np.repeat(np.arange(len(sizes)), sizes)
    points = 2.0 + 3 * centre[:, None] - 0.2 * np.arange(5) + rng.normal(0, 0.1, (sum(sizes), 5))
    order = rng.permutation(len(centre))
    return points[order], centre[order]


def reduced(trajectory: Any, **columns: Any) -> dict[str, np.ndarray]:
    trajectory = np.asarray(trajectory, float)
    n = len(trajectory)
    usual: dict[str, Any] = {
        "trajectory": trajectory,
        "n_tokens": np.full(n, 8.0),
        "over_long": np.zeros(n, bool),
        "id_hash": np.random.default_rng(3).permutation(n),
    }
    return {name: np.asarray(column) for name, column in (usual | columns).items()}


def left_out(scores: Scores) -> dict[str, list[int]]:
    found = {why: np.flatnonzero(mask).tolist() for why, mask in scores.excluded.items()}
    return {why: rows for why, rows in found.items() if rows}


def test_separated_trajectories_are_found_again_largest_cluster_first() -> None:
    points, centre = blobs((10, 40, 25))
    cluster, distance = clustered(points, 3, 42)
    assert adjusted_rand_score(centre, cluster) == 1
    assert np.bincount(cluster).tolist() == [40, 25, 10]
    for k in range(3):
        own = points[cluster == k]
        wanted = [np.sqrt(((p - own.mean(0)) ** 2).sum()) for p in own]
        np.testing.assert_allclose(distance[cluster == k], wanted, rtol=1e-9)


def test_clusters_of_one_size_are_numbered_by_their_centres() -> None:
    points, centre = blobs((12, 12, 12))
    cluster, _ = clustered(points, 3, 7)
    np.testing.assert_array_equal(cluster, centre)
    np.testing.assert_array_equal(clustered(points, 3, 8)[0], cluster)


def test_the_order_of_the_pool_changes_nothing() -> None:
    x = reduced(np.random.default_rng(1).gamma(2, 1, (80, 6)))
    straight = method(clusters=9).score(x)
    order = np.random.default_rng(2).permutation(80)
    mixed = method(clusters=9).score({name: column[order] for name, column in x.items()})
    assert straight.group is not None
    assert mixed.group is not None
    np.testing.assert_array_equal(mixed.group, straight.group[order])
    np.testing.assert_array_equal(mixed.value, straight.value[order])


@pytest.mark.parametrize("n", [0, 1, 5])
def test_fewer_samples_than_clusters_are_clusters_of_their_own(n: int) -> None:
    scores = method().score(reduced(np.arange(5.0 * n).reshape(n, 5)))
    assert scores.group is not None
    assert sorted(scores.group.tolist()) == list(range(n))
    assert scores.value.tolist() == [0] * n


def test_equal_trajectories_share_a_cluster() -> None:
    points = np.repeat([[1.0, 2.0], [3.0, 4.0]], [4, 2], axis=0)
    cluster, distance = clustered(points, 5, 0)
    assert cluster.tolist() == [0, 0, 0, 0, 1, 1]
    assert distance.tolist() == [0] * 6
    nearly = points + np.arange(6)[:, None] * 1e-17
    assert len(clustered(nearly, 5, 0)[0]) == 6


def test_the_most_typical_of_a_cluster_comes_first() -> None:
    x = reduced([[1.0, 1.0], [1.2, 1.2], [2.0, 2.0], [90.0, 90.0]])
    scores = method(clusters=2).score(x)
    assert scores.group is not None
    assert scores.group.tolist() == [0, 0, 0, 1]
    assert np.argsort(-scores.value[:3]).tolist() == [1, 0, 2]
    np.testing.assert_allclose(scores.value, -scores.diagnostics["distance"])
    assert scores.diagnostics["cluster_size"].tolist() == [3, 3, 3, 1]


def test_columns_tell_first_and_last_loss() -> None:
    scores = method().score(reduced([[3.0, 2.0, 0.5], [1.0, 1.0, 4.0]]))
    assert scores.diagnostics["first_loss"].tolist() == [3, 1]
    assert scores.diagnostics["last_loss"].tolist() == [0.5, 4]
    assert scores.diagnostics["loss_drop"].tolist() == [2.5, -3]
    assert scores.diagnostics["trajectory"].shape == (2, 3)


def test_over_long_empty_and_broken_samples_have_one_reason_each() -> None:
    losses = np.arange(12.0).reshape(6, 2)
    losses[[1, 2, 3], 1] = np.nan
    losses[4, 0] = np.inf
    x = reduced(
        losses, n_tokens=[8, 8, 0, 8, 8, 8], over_long=[False, True, False, False, False, False]
    )
    scores = method().score(x)
    assert left_out(scores) == {
        "longer than the token limit": [1],
        "no response tokens": [2],
        "a loss is not a number": [3, 4],
    }
    assert scores.group is not None
    assert scores.group.tolist() == [1, -1, -1, -1, -1, 0] or scores.group[0] == 0
    assert np.isnan(scores.diagnostics["cluster"][1:5]).all()
    parity = method(unscored="zero").score(x)
    assert left_out(parity) == {
        "longer than the token limit": [1],
        "a loss is not a number": [4],
    }


def test_a_loss_of_zero_stands_for_none_on_request() -> None:
    x = reduced([[1.0, np.nan], [1.0, 0.0], [5.0, 5.0]])
    scores = method(unscored="zero", clusters=2).score(x)
    assert scores.group is not None
    assert scores.group.tolist() == [0, 0, 1]
    assert np.isnan(scores.diagnostics["trajectory"][0, 1]), "what was measured stays as it was"


def test_scaling_is_what_it_says() -> None:
    points = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert scaled(points, "none") is points
    np.testing.assert_allclose(scaled(points, "log1p"), np.log(1 + points))
    np.testing.assert_allclose(scaled(points, "unit"), [[0.6, 0.8], [0, 0]])


@pytest.mark.parametrize(
    ("t", "used", "kept"), [(9, 5, 9), (9, 4, 5), (6, 3, 3), (6, 6, 6), (4, 9, 4)]
)
def test_thinning_keeps_every_so_manieth(t: int, used: int, kept: int) -> None:
    found = thinned(np.arange(2.0 * t).reshape(2, t), used)
    assert found.shape == (2, kept)
    assert found[0].tolist() == list(range(0, t, t // used if t > used else 1))


def test_every_checkpoint_of_one_training_is_measured_in_order() -> None:
    needs = method(checkpoints=5, proxy="some/proxy", text="alpaca_input").needs()
    assert list(needs) == [f"step_{k}" for k in range(5)]
    assert all(isinstance(s, TokenStats) for s in needs.values())
    assert [s.step for s in needs.values()] == [0, 1, 2, 3, 4]
    assert {(s.model, s.checkpoint, s.template) for s in needs.values()} == {
        ("some/proxy", "proxy", "alpaca_input")
    }
    [warm_up] = {s.warm_up for s in needs.values()}
    assert warm_up is not None
    assert (warm_up.fraction, warm_up.saves, warm_up.adapter) == (1.0, 5, "full")


def test_an_adapter_has_as_many_points_as_asked_for() -> None:
    some = method(proxy_adapter="lora", proxy_epochs=1, checkpoints=4).needs()
    assert [s.step for s in some.values()] == [0, 1, 2, 3]
    assert {s.warm_up.saves for s in some.values() if s.warm_up} == {4}
    [end] = method(proxy_adapter="lora", checkpoints=1).needs().values()
    assert end.step == -1  # an adapter of which the end is asked for is kept every epoch


def test_the_columns_of_the_checkpoints_become_one_trajectory() -> None:
    own = method(checkpoints=3)
    x: dict[str, np.ndarray] = {"id_hash": np.arange(2), "n_chars": np.arange(2)}
    for k in range(3):
        x |= {
            f"step_{k}_nll": np.array([10.0 + k, 20.0 + k]),
            f"step_{k}_entropy": np.zeros(2),
            f"step_{k}_n_tokens": np.array([4, 5]),
            f"step_{k}_over_long": np.zeros(2, bool),
            f"step_{k}_in_warm_up": np.ones(2, bool),
            f"step_{k}_rate": np.array([1e-5]),
        }
    found = own.reduce(x)
    assert found["trajectory"].tolist() == [[10, 11, 12], [20, 21, 22]]
    assert all(len(column) == 2 for column in found.values())


def test_what_shapes_the_training_is_not_live_and_the_rest_is() -> None:
    live = {"clusters": 5, "scaling": "unit", "unscored": "zero", "checkpoints_used": 3}
    assert method().is_live(live)
    for name, value in {
        "text": "alpaca",
        "proxy": "x",
        "proxy_epochs": 2,
        "proxy_learning_rate": 1e-5,
        "proxy_batch": 4,
        "seed": 1,
        "checkpoints": 3,
    }.items():
        assert not method().is_live({name: value}), name
