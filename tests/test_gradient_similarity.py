"""Gradient similarity: the sum over checkpoints, its aggregates, flags and live knobs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from core.domain import Sample, Scores, Turn
from core.engines.fake import FakeEngine
from core.errors import MethodError
from core.influence import combined, cosines, mean_rates, shares, similarity, subtask_scores
from core.methods import Method, build
from core.signals import Embedding, Gradient

N, M, WIDTH = 60, 6, 32
Arrays = dict[str, np.ndarray]


def method(**params: Any) -> Method:
    return build("gradient_similarity", {"width": WIDTH, **params})


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def measured(chosen: Method, n: int = N, m: int = M, seed: int = 0) -> Arrays:
    """Invented measurements of a pool of n and a query set of m."""
    rng = np.random.default_rng(seed)
    x: Arrays = {}
    for number, (name, signal) in enumerate(chosen.needs().items()):
        rows = n if signal.on == "pool" else m
        if isinstance(signal, Gradient):
            x[f"{name}_gradient"] = unit(rng.normal(size=(rows, WIDTH)) + 0.3).astype(np.float16)
            x[f"{name}_norm"] = rng.gamma(2, 1, rows).astype(np.float32)
            x[f"{name}_nll"] = rng.gamma(2, 1, rows)
            x[f"{name}_n_tokens"] = np.arange(rows) % 9 + 1
            x[f"{name}_over_long"] = np.zeros(rows, bool)
            x[f"{name}_in_warm_up"] = np.zeros(rows, bool)
            x[f"{name}_rate"] = np.array([2e-5 / (number + 1)])
        else:
            assert isinstance(signal, Embedding)
            x[f"{name}_vector"] = unit(rng.normal(size=(rows, WIDTH)) + 0.3).astype(np.float32)
            x[f"{name}_empty"] = np.zeros(rows, bool)
    return x


def of_pool(x: Mapping[str, np.ndarray], rows: Any) -> Arrays:
    """The measurements of some samples of the pool, all queries."""
    held = {k: v for k, v in x.items() if k.startswith("pool") and not k.endswith("_rate")}
    return dict(x) | {name: column[rows] for name, column in held.items()}


def scored(chosen: Method, x: Mapping[str, np.ndarray]) -> Scores:
    return chosen.score(chosen.reduce(x))


KINDS = ("gradients", "rds", "sentence")


def obvious(chosen: Method, x: Mapping[str, np.ndarray]) -> np.ndarray:
    """S (n, m), one product at a time."""
    numbers = sorted({int(k.split("_")[1]) for k in x})
    column = "gradient" if chosen.model_dump()["representation"] == "gradients" else "vector"
    rates = [float(x[f"pool_{k}_rate"][0]) if f"pool_{k}_rate" in x else 1.0 for k in numbers]
    out = np.zeros((len(x[f"pool_1_{column}"]), len(x[f"query_1_{column}"])))
    for number, rate in zip(numbers, rates, strict=True):
        for i, row in enumerate(x[f"pool_{number}_{column}"].astype(float)):
            for j, query in enumerate(x[f"query_{number}_{column}"].astype(float)):
                out[i, j] += rate / sum(rates) * float(np.sum(row * query))
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_similarity_is_the_weighted_sum_over_checkpoints(kind: str) -> None:
    chosen = method(representation=kind, warm_up_epochs=3)
    x = measured(chosen)
    found = scored(chosen, x)
    assert found.similarity is not None
    np.testing.assert_allclose(found.similarity, obvious(chosen, x), rtol=1e-5, atol=1e-7)
    assert found.similarity.dtype == np.float32
    np.testing.assert_allclose(found.value, obvious(chosen, x).max(1), rtol=1e-5)
    nearest = found.diagnostics["nearest_query"]
    assert nearest.tolist() == obvious(chosen, x).argmax(1).tolist()


def test_aggregates_are_nearest_mean_and_best_mean_of_a_subtask() -> None:
    x = measured(method())
    s = scored(method(), x).similarity
    assert s is not None
    wide = s.astype(float)
    for params, wanted in (
        ({"aggregate": "max"}, wide.max(1)),
        ({"aggregate": "mean"}, wide.mean(1)),
        ({"aggregate": "max_mean", "subtasks": 1}, wide.mean(1)),
        ({"aggregate": "max_mean", "subtasks": M}, wide.max(1)),
        (
            {"aggregate": "max_mean", "subtasks": 2},
            np.maximum(wide[:, :3].mean(1), wide[:, 3:].mean(1)),
        ),
    ):
        np.testing.assert_allclose(scored(method(**params), x).value, wanted, rtol=1e-12)


def test_groups_that_are_not_equal_are_refused() -> None:
    with pytest.raises(MethodError, match="groups of equal size") as caught:
        scored(method(aggregate="max_mean", subtasks=4), measured(method()))
    assert "divides the 6 queries" in str(caught.value)


def test_equal_weights_ignore_the_learning_rates() -> None:
    x = measured(method())
    for k in range(1, 5):
        x[f"pool_{k}_rate"] = np.array([1.0])
    equal = scored(method(weights="equal"), measured(method()))
    np.testing.assert_array_equal(equal.value, scored(method(), x).value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_pool_permutes_the_scores_to_the_last_bit(kind: str) -> None:
    chosen = method(representation=kind)
    x = measured(chosen, n=1100)
    order = np.random.default_rng(1).permutation(1100)
    straight, mixed = scored(chosen, x), scored(chosen, of_pool(x, order))
    np.testing.assert_array_equal(mixed.value, straight.value[order])
    assert straight.similarity is not None
    np.testing.assert_array_equal(mixed.similarity, straight.similarity[order])
    alone = scored(chosen, of_pool(x, [7]))
    np.testing.assert_array_equal(alone.value, straight.value[7:8])


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_pool_has_no_scores(kind: str) -> None:
    chosen = method(representation=kind)
    found = scored(chosen, of_pool(measured(chosen), slice(0)))
    assert found.value.shape == (0,)
    assert found.similarity is not None
    assert found.similarity.shape == (0, M)
    assert found.reasons() == []


@pytest.mark.parametrize("kind", KINDS)
def test_scores_come_again_from_what_was_stored_as_float64(kind: str) -> None:
    chosen = method(representation=kind)
    x = measured(chosen)
    if kind == "gradients":
        x["pool_4_over_long"][3] = True
    reduced = chosen.reduce(x)
    assert all(len(column) == N for column in reduced.values())
    assert all(column.dtype != np.float16 for column in reduced.values())
    again = {name: np.asarray(column, np.float64) for name, column in reduced.items()}
    for params in ({}, {"aggregate": "mean"}, {"leakage": 0.3}, {"weights": "equal"}):
        other = chosen.with_params(params)
        first, second = other.score(reduced), other.score(again)
        np.testing.assert_array_equal(first.value, second.value)
        np.testing.assert_array_equal(first.similarity, second.similarity)
        assert first.reasons() == second.reasons()


def test_samples_without_a_score_have_one_reason_each() -> None:
    x = measured(method())
    x["pool_4_over_long"][[1, 2]] = True
    x["pool_4_n_tokens"][[2, 5]] = 0
    x["pool_4_nll"][[1, 2, 5, 7]] = np.nan
    for k in range(1, 5):
        x[f"pool_{k}_gradient"][[1, 2, 5]] = 0
    x["pool_4_norm"][8] = np.nan
    found = scored(method(), x)
    assert {why: np.flatnonzero(mask).tolist() for why, mask in found.excluded.items()} == {
        "longer than the token limit": [1, 2],
        "nothing to measure: the text or its response is empty": [5],
        "a measurement is not a number": [7, 8],
    }
    assert np.flatnonzero(np.isnan(found.value)).tolist() == [1, 2, 5, 7, 8]


def test_an_empty_text_has_no_score() -> None:
    chosen = method(representation="sentence")
    x = measured(chosen)
    x["pool_1_empty"][4] = True
    x["pool_1_vector"][4] = 0
    found = scored(chosen, x)
    assert np.flatnonzero(np.isnan(found.value)).tolist() == [4]
    assert "empty" in str(found.reasons()[4])


def test_near_duplicates_of_a_query_are_left_out_on_request() -> None:
    chosen = method(representation="rds")
    x = measured(chosen)
    x["pool_1_vector"][9] = x["query_1_vector"][2]
    assert np.isfinite(scored(chosen, x).value).all()
    found = scored(method(representation="rds", leakage=0.98), x)
    assert np.flatnonzero(found.excluded["near duplicate of a query"]).tolist() == [9]
    assert found.diagnostics["nearest_query"][9] == 2


def test_without_usable_queries_it_says_what_to_do() -> None:
    x = measured(method(), m=0)
    with pytest.raises(MethodError, match="query set") as caught:
        method().reduce(x)
    assert "--query" in str(caught.value)
    for value in (0, np.nan):
        x = measured(method())
        x["query_3_gradient"][4] = value
        with pytest.raises(MethodError, match="query 5") as caught:
            method().reduce(x)
        assert "--max-tokens" in str(caught.value)


def test_each_checkpoint_measures_pool_and_queries_with_one_sketch() -> None:
    needs = method(warm_up_epochs=5, checkpoints=2).needs()
    assert list(needs) == ["pool_4", "query_4", "pool_5", "query_5"]
    for name, signal in needs.items():
        assert isinstance(signal, Gradient)
        on, number = name.split("_")
        assert (signal.on, signal.step) == (on, int(number) - 1)
        assert signal.adam is (on == "pool")
        assert signal.warm_up is not None
        assert signal.warm_up.adapter == "lora"
        assert signal.sketch == needs["pool_4"].sketch  # type: ignore[attr-defined]
    assert list(method(warm_up_epochs=2).needs()) == ["pool_1", "query_1", "pool_2", "query_2"]
    assert method().needs_query()


def test_texts_of_embeddings_are_those_of_the_paper() -> None:
    rds = method(representation="rds").needs()
    assert [s.text for s in rds.values()] == ["conversation", "conversation"]  # type: ignore[attr-defined]
    assert {s.pooling.kind for s in rds.values()} == {"position"}  # type: ignore[attr-defined]
    sentence = method(representation="sentence").needs()
    assert [s.text for s in sentence.values()] == ["conversation", "query"]  # type: ignore[attr-defined]
    assert {s.model for s in sentence.values()} == {"minilm"}


def test_knobs_that_need_no_model_are_live_and_the_others_are_not() -> None:
    live = {"aggregate": "mean", "subtasks": 3, "leakage": 0.5, "weights": "equal"}
    assert method().is_live(live)
    for name, value in {
        "representation": "rds",
        "text": "tulu",
        "sketch": "rademacher",
        "width": 64,
        "checkpoints": 2,
        "warm_up_rank": 8,
        "warm_up_epochs": 3,
        "seed": 1,
    }.items():
        assert not method().is_live({name: value}), name


def test_the_fake_engine_ranks_the_querys_own_source_first() -> None:
    def sample(source: str, k: int) -> Sample:
        return Sample((Turn("user", f"{source} {k}"), Turn("assistant", f"answer {k}")), source)

    pool = [sample(source, k) for source in ("maths", "poems") for k in range(10)]
    sets = {"pool": pool, "query": [sample("maths", k) for k in range(20, 24)]}
    chosen = method(width=64)
    x: Arrays = {}
    for name, signal in chosen.needs().items():
        engine = FakeEngine(f"step {signal.step}")
        found = signal.measure(sets[signal.on], engine, 4096, {})
        x |= {f"{name}_{column}": array for column, array in found.items()}
        x[f"{name}_rate"] = np.array([1e-5])
    value = scored(chosen, x).value
    assert set(np.argsort(-value)[:10]) == set(range(10))


# the arithmetic


def test_products_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pool, query = rng.normal(size=(50, 9)).astype(np.float16), rng.normal(size=(3, 9))
    whole = similarity(pool, query)
    monkeypatch.setattr("core.influence.ROWS", 7)
    np.testing.assert_array_equal(similarity(pool, query), whole)
    np.testing.assert_allclose(whole, pool.astype(float) @ query.T, rtol=1e-6)


def test_cosines_of_zero_rows_are_zero() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert cosines(rows, rows).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_shares_add_up_to_one() -> None:
    assert shares([1, 3]).tolist() == [0.25, 0.75]
    assert shares([0, 0]).tolist() == [0.5, 0.5]


def test_an_entry_at_a_whole_epoch_belongs_to_the_epoch_before() -> None:
    log = [(0.5, 4.0), (1.0, 2.0), (1.0001, 9.0), (1.5, None), (3.0, 1.0)]
    assert mean_rates(log, 3).tolist() == [3.0, 9.0, 1.0]
    assert np.isnan(mean_rates(log, 4)[3])


def test_one_checkpoint_is_the_similarity_itself() -> None:
    s = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(combined([s], shares([2e-5])), s)
    assert subtask_scores(s, 3).tolist() == s.astype(float).max(1).tolist()
