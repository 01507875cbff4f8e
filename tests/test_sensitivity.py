"""What a subset becomes while one threshold moves, and what each step of a recipe removes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import bench as benches
from core import sensitivity as sens
from core.domain import Scores
from core.recipe import Distinct, Pin, Recipe
from core.rules import Among, Range
from core.subset import Facts, apply
from core.waterfall import waterfall

RUN = "0" * 20
RULES = (Range(column="x", low=0.2), Range(column="y", low=-1.0, high=1.0))
BUDGETS = ("10%", "7", "30% tokens", "500 tokens", "100%")


def made(n, seed, **fields):
    """A recipe with two rules on a random pool, its scores, facts and the rules' columns."""
    rng = np.random.default_rng(seed)
    value = rng.integers(0, 40, n).astype(float)
    value[rng.random(n) < 0.1] = np.nan
    x, y = rng.random(n), rng.normal(size=n)
    passed = (benches.within(x, 0.2, None), benches.within(y, -1.0, 1.0))
    pins = tuple(rng.choice(n, 4, replace=False)) if n > 8 else ()
    facts = Facts(
        passed,
        rng.integers(1, 50, n).astype(float),
        rng.integers(0, 3, n),
        ("a", "b", "c"),
        np.arange(n),
        rng.integers(0, max(1, n // 2), n),
        (np.array(pins[:2], np.int64), np.array(pins[2:], np.int64)),
    )
    scores = Scores(value, group=np.arange(n) % 4, excluded={"too long": np.isnan(value)})
    names = [Pin(sample_id=f"{p:020x}", keep=i < 2) for i, p in enumerate(pins)]
    recipe = Recipe(pool="p", method="m", run_id=RUN, rules=RULES, pins=names, **fields)
    return recipe, scores, facts, (x, y)


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(0, 2**32 - 1), st.sampled_from(BUDGETS), st.booleans())
def test_a_ranked_cut_is_the_recipe_applied_again(n, seed, budget, crossing):
    params = {"crossing": True} if crossing else {}
    recipe, scores, facts, (x, y) = made(n, seed, budget=budget, policy_params=params)
    on = benches.bench(recipe, scores, facts)
    for i, end, column in ((0, "low", x), (1, "low", y), (1, "high", y)):
        curve = sens.rule_curve(on, i, end, column)
        present = apply(recipe, scores, facts).mask
        for at, kept, alike in zip(curve.at, curve.kept, curve.alike, strict=True):
            ends = {"low": RULES[i].low, "high": RULES[i].high} | {end: at}
            passed = list(facts.passed)
            passed[i] = benches.within(column, **ends)
            again = apply(recipe, scores, replace(facts, passed=tuple(passed))).mask
            assert kept == again.mean()
            assert alike == sens.jaccard(again, present)


@settings(deadline=None)
@given(st.integers(9, 60), st.integers(0, 2**32 - 1), st.sampled_from(BUDGETS))
def test_where_the_threshold_stands_now_the_subset_is_the_same(n, seed, budget):
    fields = {"budget": budget, "policy": "quotas", "quotas": {"a": 3}}
    recipe, scores, facts, (x, _) = made(n, seed, **fields)
    on = benches.bench(recipe, scores, facts)
    curves = [
        sens.rule_curve(on, 0, "low", x),
        sens.budget_curve(on),
        sens.knob_curve(on, "shift", [0.0, 1.0, 2.0], lambda _: scores, 1.0),
    ]
    kept = apply(recipe, scores, facts).mask.mean()
    for curve in curves:
        here = int(np.flatnonzero(curve.at == curve.now)[0])
        assert curve.alike[here] == 1
        assert curve.kept[here] == kept
        assert len(curve.at) <= sens.PLACES
        assert np.all(np.diff(curve.at) > 0)
    assert curves[2].fragility == 0  # rescoring changed nothing


@pytest.mark.parametrize("budget", ["10%", "40", "15% tokens"])
def test_the_budget_of_a_ranked_recipe_nests(budget):
    recipe, scores, facts, _ = made(300, 5, budget=budget)
    curve = sens.budget_curve(benches.bench(recipe, scores, facts))
    assert np.all(np.diff(curve.kept) >= 0)
    assert curve.at.max() <= 100
    below, above = curve.at < curve.now, curve.at > curve.now
    assert np.all(np.diff(curve.alike[below]) >= 0)
    assert np.all(np.diff(curve.alike[above]) <= 0)


def test_a_fragile_threshold_is_one_whose_neighbours_keep_other_samples():
    at, kept = np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 0.1)
    curve = sens.Curve("x", at, kept, np.array([0.0, 1.0, 0.75, 0.1]), 1.0, 9)
    assert curve.fragility == 1.0
    calm = replace(curve, alike=np.array([0.9, 1.0, 0.95, 0.0]))
    assert calm.fragility == pytest.approx(0.1)


def test_a_place_at_which_the_recipe_cannot_be_applied_is_left_out():
    recipe, scores, facts, _ = made(40, 3, policy="bands", policy_params={"bands": "2"})
    on = benches.bench(recipe, scores, facts)
    easy = replace(scores, group=np.zeros(40, int))
    under = {0.0: easy, 1.0: scores, 2.0: scores}
    curve = sens.knob_curve(on, "level", [0.0, 1.0, 2.0], under.__getitem__, 1.0)
    assert curve.at.tolist() == [1.0, 2.0]
    assert curve.alike.tolist() == [1.0, 1.0]


def test_a_large_pool_is_sampled_and_says_so(monkeypatch):
    monkeypatch.setattr(benches, "SAMPLED", 200)
    recipe, scores, facts, (x, _) = made(1000, 1, policy="quotas", budget="100")
    on = benches.bench(recipe, scores, facts)
    assert on.recipe.budget == "20"
    curve = sens.rule_curve(on, 0, "low", x)
    assert curve.sampled == 200
    whole = made(1000, 1, policy="top", budget="100")
    assert sens.rule_curve(benches.bench(*whole[:3]), 0, "low", x).sampled == 1000
    again = benches.bench(recipe, scores, facts)
    assert again.rows.tolist() == on.rows.tolist()
    kept = on.apply(on.recipe, on.scores, on.facts)
    truth = apply(recipe, scores, facts).mask
    assert abs(kept.mean() - truth.mean()) < 0.02


def test_rows_of_a_sample_keep_all_that_is_known_of_them():
    recipe, scores, facts, _ = made(50, 2)
    features = np.arange(100, dtype=np.float32).reshape(50, 2)
    scores = replace(scores, similarity=features, features=features)
    rows = np.arange(3, 50, 4)
    on = benches.sampled(recipe, scores, facts, rows)
    assert on.scores.features[np.array([1, 2])].tolist() == features[rows[[1, 2]]].tolist()
    assert on.scores.similarity.tolist() == features[rows].tolist()
    assert on.scores.excluded["too long"].tolist() == np.isnan(scores.value)[rows].tolist()
    assert set(rows[on.facts.pinned[0]]) == set(facts.pinned[0]) & set(rows)


def test_a_rule_on_what_a_knob_changes_is_asked_again():
    scores = Scores(np.arange(4.0), group=np.array([0, 1, 2, 2]), diagnostics={"d": np.ones(4)})
    held = np.zeros(4, bool)
    ask = sens.passed_live
    assert ask(Range(column="score", low=2), scores, held).tolist() == [False, False, True, True]
    assert ask(Range(column="d", high=1), scores, held).all()
    group = Among(column="group", values=("2", "0"))
    assert ask(group, scores, held).tolist() == [True, False, True, True]
    assert ask(group.model_copy(update={"keep": False}), scores, held).sum() == 1
    for other in (Range(column="n_chars", low=1), Range(column="d", low=1, run=RUN)):
        assert ask(other, scores, held) is held


@settings(deadline=None)
@given(st.integers(9, 60), st.integers(0, 2**32 - 1), st.sampled_from(BUDGETS))
def test_steps_in_order_add_up_and_alone_are_what_each_would_remove(n, seed, budget):
    distinct = Distinct(map_id=RUN)
    fields = {"budget": budget, "distinct": distinct, "quotas": {"a": 2, "c": 0}}
    recipe, scores, facts, _ = made(n, seed, **fields)
    subset = apply(recipe, scores, facts)
    steps = waterfall(recipe, scores, facts, subset)
    assert sum(step.in_order for step in steps) == n - len(subset.chosen)
    alone = {step.reason: step.alone for step in steps}
    assert alone["not scored: too long"] == np.isnan(scores.value).sum()
    for rule, passed in zip(RULES, facts.passed, strict=True):
        assert alone[f"rule: {rule}"] == n - passed.sum()
    bare = {"rules": (), "pins": (), "distinct": None, "quotas": {}}
    whole, nobody = replace(facts, passed=(), pinned=(np.empty(0, int),) * 2), {"budget": "100%"}
    for field, name in (("distinct", f"rule: {distinct}"), ("quotas", "quota: 2 of a")):
        only = bare | nobody | {field: getattr(recipe, field)}
        steps_alone = dict(apply(recipe.model_copy(update=only), scores, whole).steps())
        assert alone[name] == steps_alone[name]
    spent = apply(recipe.model_copy(update=bare), scores, whole)
    assert steps[-1].alone == np.isfinite(scores.value).sum() - len(spent.chosen)
