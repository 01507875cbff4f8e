"""All ways to choose by queries, side by side."""

from decimal import Decimal

import numpy as np
import pytest

from core import selectors
from core.errors import RunError
from core.policies import Candidates, build
from core.policies.budget import Budget


def candidates(n=80, m=4, features=True):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = (vectors @ vectors[:m].T).astype(np.float32)
    value = similarity.max(1).astype(np.float64)
    value[::9] = np.nan
    return Candidates(
        value,
        rng.integers(1, 50, n).astype(np.float64),
        similarity=similarity,
        features=vectors if features else None,
    )


TEN = Budget(Decimal(10), False, "samples")


def test_every_policy_takes_what_it_takes_alone():
    c = candidates()
    found = selectors.choices(c, TEN, {"knn_uniform": {"scale": 0.1}})
    assert set(found) == {*selectors.NAMES, *selectors.SLOW}
    for name, choice in found.items():
        alone = build(name, {"scale": 0.1} if name == "knn_uniform" else {}).choose(c, TEN)
        assert choice.rows.tolist() == alone.rows.tolist()
        assert not choice.left_out


@pytest.mark.parametrize("budget", ["10", "300 tokens"])
def test_a_smaller_budget_takes_a_prefix_of_a_larger_one(budget):
    c = candidates()
    large = selectors.choices(c, Budget.parse(budget), {})
    small = selectors.choices(c, Budget.parse(budget.replace("0", "", 1) or "1"), {})
    for name, choice in small.items():
        assert len(choice.rows) < len(large[name].rows)
        assert choice.rows.tolist() == large[name].rows[: len(choice.rows)].tolist(), name


def test_what_is_too_slow_or_not_there_is_left_out_with_a_reason(monkeypatch):
    monkeypatch.setitem(selectors.SLOW, "optimal_transport", 100)
    found = selectors.choices(candidates(features=False), TEN, {})
    assert found["optimal_transport"].rows is None
    assert "above 25 samples × 4 queries" in found["optimal_transport"].left_out
    assert found["knn_kde"].rows is None
    assert found["knn_kde"].left_out
    assert len(found["round_robin"].rows) == 10


def test_measurements_that_have_gone_are_a_reason_too():
    class Gone:
        def __getitem__(self, rows):
            raise RunError("parts", "measured parts have gone")

    c = candidates()
    gone = Candidates(c.value, c.n_tokens, similarity=c.similarity, features=Gone())
    found = selectors.choices(gone, TEN, {})
    assert "have gone" in found["knn_kde"].left_out
    assert found["top"].rows is not None


def test_only_what_is_kept_or_left_out_by_the_budget_is_open_to_a_selector():
    value = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    found = selectors.open_to(
        value, np.array([0, 1, 2, 2, 0], np.int16), ("kept", "rule", "budget")
    )
    np.testing.assert_array_equal(found, [1, np.nan, 3, np.nan, 5])
