"""What is wrong with a column of scores, and what to do about it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import health

NAN = float("nan")


def test_a_whole_column_of_different_scores_is_healthy():
    rng = np.random.default_rng(0)
    found = health.findings(rng.normal(size=500), rng.integers(1, 90, 500).astype(float), {})
    assert [f.check for f in found] == ["coverage", "ties", "length"]
    assert {f.level for f in found} == {"good"}
    assert not any(f.do for f in found)


def test_missing_scores_say_how_many_and_why():
    value = np.array([1.0, 2.0, NAN, NAN])
    found = health.missing(value, {"longer than the token limit": 2})
    assert found.level == "bad"
    assert "2 of 4 samples (50.0 %)" in found.says
    assert "2 longer than the token limit" in found.says
    assert found.do


def test_a_constant_score_is_bad_and_is_not_called_tied():
    found = health.findings(np.full(9, 0.5), np.arange(9.0), {})
    assert [(f.check, f.level) for f in found] == [("coverage", "good"), ("spread", "bad")]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_tied_samples_are_those_whose_score_another_has(values):
    found = health.ties(np.array([*map(float, values), NAN]))
    tied = sum(values.count(v) > 1 for v in values)
    if tied:
        assert found.says.startswith(f"{tied:,} samples")
    else:
        assert found.level == "good"


@pytest.mark.parametrize(
    ("sign", "noise", "level"),
    [(1, 0.0, "bad"), (-1, 0.0, "bad"), (1, 30.0, "watch"), (1, 400.0, "good")],
)
def test_a_score_that_follows_length_is_flagged_either_way(sign, noise, level):
    rng = np.random.default_rng(1)
    length = np.arange(100.0)
    found = health.length_confound(sign * (length + noise * rng.normal(size=100)), length)
    assert found.level == level
    assert ("long" if sign > 0 else "short") in found.says or level == "good"


def test_where_length_cannot_be_told_nothing_is_said():
    assert health.length_confound(np.arange(5.0), np.full(5, NAN)) is None
    assert [f.check for f in health.findings(np.arange(5.0), None, {})] == ["coverage", "ties"]


def test_two_seeds_are_judged_over_all_and_at_the_budget():
    value = np.arange(100.0)
    same = health.seeds(value, value * 2, 10, (1, 2))
    assert same.level == "good"
    assert "100 % of the best 10" in same.says
    turned = health.seeds(value, -value, 10, (1, 2))
    assert turned.level == "bad"
    assert "0 % of the best 10" in turned.says
    assert health.seeds(value, np.ones(100), 10, (1, 2)).level == "bad"


def test_only_runs_that_differ_by_their_seed_alone_are_partners():
    params = {
        "a": {"seed": 1, "k": 5},
        "b": {"seed": 2, "k": 5},
        "c": {"seed": 1, "k": 6},
        "d": {"seed": 3, "k": 5},
        "e": {"k": 5},
        "f": {"seed": 1, "k": 5},
    }
    assert health.seed_partners(params) == [("a", "b"), ("a", "d")]


@given(st.floats(-1, 2))
def test_levels_are_in_order_whichever_way_is_worse(x):
    order = ("good", "watch", "bad")
    assert order.index(health.level(x, 0.2, 0.6)) == (x >= 0.2) + (x >= 0.6)
    assert order.index(health.level(x, 0.9, 0.7)) == (x <= 0.9) + (x <= 0.7)
