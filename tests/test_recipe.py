"""Recipes: a reason for every sample, counts that add up, and a key that is content alone."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Scores
from core.errors import BudgetError
from core.policies.budget import Budget
from core.recipe import Recipe
from core.rules import Range as Rule
from core.rules import parse, parse_all
from core.subset import Facts, Subset, apply

BASE = {"pool": "p", "method": "m", "run_id": "a" * 20}
NUMBERS = st.one_of(st.floats(-2, 2), st.sampled_from([-0.0, 1.0, np.nan]))
BUDGETS = ("1", "7", "200", "10%", "33.3%", "100%", "20 tokens", "50% tokens")


def recipe(**fields: Any) -> Recipe:
    return Recipe(**(BASE | fields))


def scored(value: list[float]) -> Scores:
    array = np.array(value, float)
    return Scores(array, excluded={"no number": np.isnan(array)})


def columns(n: int, **more: Any) -> dict[str, Any]:
    return {"n_tokens": np.arange(n) * 1.0 % 7} | {k: np.array(v, float) for k, v in more.items()}


def applied(made: Recipe, scores: Scores, given_columns: dict[str, Any], **more: Any) -> Subset:
    """`apply` on arrays in memory, each rule by its own definition."""
    passed = tuple(rule.passed(given_columns[rule.column]) for rule in made.rules)
    return apply(made, scores, Facts(passed, given_columns.get("n_tokens"), **more))


@st.composite
def cases(draw: Any) -> tuple[Recipe, Scores, dict[str, Any]]:
    n = draw(st.integers(0, 30))
    x = draw(st.lists(NUMBERS, min_size=n, max_size=n))
    value = draw(st.lists(NUMBERS, min_size=n, max_size=n))
    ends = st.one_of(st.none(), st.floats(-2, 2))
    rule = st.builds(Rule, column=st.sampled_from(["x", "n_tokens"]), low=ends, high=ends)
    rules = draw(st.lists(rule, max_size=3))
    return (
        recipe(rules=tuple(rules), budget=draw(st.sampled_from(BUDGETS))),
        scored(value),
        columns(n, x=x),
    )


@given(cases())
def test_every_sample_has_one_verdict_and_the_counts_add_up(case: Any) -> None:
    made, scores, given_columns = case
    n = len(scores.value)
    subset = applied(made, scores, given_columns)
    assert sum(subset.counts().values()) == n == subset.n == len(subset.reason)
    assert all(isinstance(reason, str) and reason for reason in subset.reason)
    assert len(set(subset.chosen.tolist())) == len(subset.chosen) == subset.counts()["kept"]
    assert (subset.reason == "kept").tolist() == subset.mask.tolist()
    assert not np.isnan(scores.value[subset.chosen]).any()
    ranked = scores.value[subset.chosen]
    assert (np.diff(ranked) <= 0).all()
    limit = Budget.parse(made.budget).limit(n, given_columns["n_tokens"])
    spent = subset.tokens if "tokens" in made.budget else len(subset.chosen)
    assert spent <= limit


@given(cases())
def test_what_is_kept_passes_every_rule_and_what_is_dropped_says_which(case: Any) -> None:
    made, scores, given_columns = case
    subset = applied(made, scores, given_columns)
    for i, reason in enumerate(subset.reason):
        broken = [str(r) for r in made.rules if not r.passed(given_columns[r.column][i : i + 1])[0]]
        if np.isnan(scores.value[i]):
            assert reason == "not scored: no number"
        elif broken:
            assert reason == f"rule: {broken[0]}"
        else:
            assert reason in ("kept", f"budget: ranked below the {made.budget} that fit")


@given(cases())
def test_the_same_recipe_chooses_the_same_and_changes_nothing_it_was_given(case: Any) -> None:
    made, scores, given_columns = case
    before = {name: column.tobytes() for name, column in given_columns.items()}
    value = scores.value.tobytes()
    first, again = (applied(made, scores, given_columns) for _ in range(2))
    assert first.chosen.tolist() == again.chosen.tolist()
    assert first.reason.tolist() == again.reason.tolist()
    assert {name: column.tobytes() for name, column in given_columns.items()} == before
    assert scores.value.tobytes() == value


def test_reasons_name_the_score_the_first_rule_and_the_budget() -> None:
    value = [5.0, 4, 3, 2, np.nan]
    rules = (Rule(column="x", low=0.25), Rule(column="x", low=0.5, high=1))
    made = recipe(rules=rules, budget="1")
    subset = applied(made, scored(value), columns(5, x=[0, 0.3, 0.75, 1, np.nan]))
    assert subset.reason.tolist() == [
        "rule: x ≥ 0.25",
        "rule: 0.5 ≤ x ≤ 1",
        "kept",
        "budget: ranked below the 1 that fit",
        "not scored: no number",
    ]
    assert next(iter(subset.counts())) == "kept"
    assert subset.tokens == 2


def test_a_sample_without_the_number_a_rule_asks_for_is_dropped_by_it() -> None:
    subset = applied(
        recipe(rules=(Rule(column="x", high=9),)), scored([1.0, 2.0]), columns(2, x=[1, np.nan])
    )
    assert subset.reason[1] == "rule: x ≤ 9"


def test_bounds_belong_to_the_range() -> None:
    x = np.array([1.0, 1.5, 2.0, 2.0000001, np.nan, np.inf])
    assert Rule(column="x", low=1, high=2).passed(x).tolist() == [True] * 3 + [False] * 3
    assert Rule(column="x").passed(x).tolist() == [True] * 4 + [False, True]
    assert str(Rule(column="some_name")) == "some name is a number"


@pytest.mark.parametrize("budget", ["5 tokens", "50% tokens"])
def test_a_token_budget_without_token_counts_is_refused(budget: str) -> None:
    with pytest.raises(BudgetError, match="this run has no token counts"):
        applied(recipe(budget=budget), scored([1.0]), {})
    assert applied(recipe(budget="1"), scored([1.0]), {}).chosen.tolist() == [0]


@pytest.mark.parametrize("field", [{"policy": "best"}, {"budget": "lots"}])
def test_a_recipe_that_cannot_be_is_one_sentence(field: dict[str, str]) -> None:
    with pytest.raises(BudgetError, match=r"Use one of|Give samples"):
        applied(recipe(**field), scored([1.0]), columns(1))


@pytest.mark.parametrize(
    ("policy", "lacks"),
    [("quotas", "group"), ("round_robin", "similarity"), ("knn_kde", "features")],
)
def test_a_policy_without_what_it_needs_is_one_sentence(policy: str, lacks: str) -> None:
    with pytest.raises(BudgetError, match=f"--policy {policy}: needs the {lacks} of each sample"):
        applied(recipe(policy=policy), scored([1.0]), columns(1))


def test_a_policy_sees_groups_sources_queries_and_ids_of_the_samples_the_rules_leave() -> None:
    made = {"policy": "water_filling", "policy_params": {"by_source": True, "draw": "best"}}
    scores = Scores(np.arange(6.0), group=np.array([0, 0, 1, 1, 1, 1]))
    source, rules = np.array([0, 0, 0, 1, 1, 1]), (Rule(column="n_tokens", low=1),)
    subset = applied(recipe(**made, rules=rules, budget="3"), scores, columns(6), source=source)
    assert subset.chosen.tolist() == [2, 5, 4]
    assert subset.reason[3] == "budget: not among the 3 that water_filling takes"
    over = applied(recipe(**made, rules=rules, budget="9"), scores, columns(6), source=source)
    assert over.notes == ("The budget asks for 9 samples, and all 5 are taken.",)
    draws = [
        applied(recipe(policy="random", budget="3"), scores, columns(6), id_hash=ids).chosen
        for ids in (np.arange(6), np.arange(6)[::-1])
    ]
    assert draws[0].tolist() == (5 - draws[1]).tolist()


def test_every_parameter_of_a_policy_is_part_of_the_key_and_none_is_no_change() -> None:
    old = BASE | {"params": {}, "rules": [], "policy": "top", "budget": "10%"}
    assert recipe().key == recipe(policy_params={}).key == Recipe.load(old).key
    keys = {recipe(policy="random", policy_params={"seed": s}).key for s in range(3)}
    assert len(keys | {recipe(policy="random").key, recipe().key}) == 5


@pytest.mark.parametrize(
    ("text", "column", "low", "high"),
    [
        ("x<=1", "x", None, 1.0),
        (" entropy_drop >= -0.25 ", "entropy_drop", -0.25, None),
        ("a_1<=1e-3", "a_1", None, 0.001),
    ],
)
def test_a_rule_is_read_as_it_is_written(text: str, column: str, low: Any, high: Any) -> None:
    assert parse(text) == Rule(column=column, low=low, high=high)


@pytest.mark.parametrize("text", ["", "x", "x=1", "x<1", "x<=", "<=1", "x<=y", "1x<=1", "x<=nan"])
def test_what_is_no_rule_is_one_sentence(text: str) -> None:
    with pytest.raises(BudgetError, match=r"is not a rule.*Write COLUMN<=NUMBER"):
        parse(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_a_rule_written_out_is_read_back_without_rounding(bound: float, both: bool) -> None:
    rule = Rule(column="x", low=bound, high=bound + 1 if both else None)
    assert parse_all(rule.bounds()) == (rule,)


def test_two_ends_of_one_column_are_one_rule() -> None:
    rules = parse_all(["x>=1", "y<=3", "x<=2", "x>=0"])
    assert rules == (Rule(column="x", low=0, high=2), Rule(column="y", high=3))


def test_the_key_is_content_and_not_the_order_of_fields() -> None:
    params = {"trim_low": 0.05, "ties": "pool"}
    made = recipe(params=params, rules=(Rule(column="x", low=1),))
    turned = Recipe.model_validate(dict(reversed(made.model_dump().items())))
    assert recipe(params=dict(reversed(params.items())), rules=made.rules).key == made.key
    assert turned.key == made.key
    assert Recipe.load(json.loads(json.dumps(made.model_dump(mode="json")))).key == made.key


def test_whatever_changes_the_subset_changes_the_key() -> None:
    changes = [
        {},
        {"pool": "q"},
        {"run_id": "b" * 20},
        {"params": {"trim_low": 0.1}},
        {"rules": (Rule(column="x", low=1),)},
        {"rules": (Rule(column="x", high=1),)},
        {"budget": "11%"},
    ]
    assert len({recipe(**change).key for change in changes}) == len(changes)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({}, "recipe.pool"),
        (BASE | {"nope": 1}, "recipe.nope"),
        (BASE | {"rules": [{"column": "x", "low": "a lot"}]}, "recipe.rules.0.low"),
        (BASE | {"budget": 10}, "recipe.budget"),
        ("text", "recipe"),
        (None, "recipe"),
    ],
)
def test_a_recipe_from_elsewhere_says_which_field_is_wrong(value: Any, where: str) -> None:
    with pytest.raises(BudgetError) as caught:
        Recipe.load(value)
    assert str(caught.value).startswith(f"{where}")
    assert str(caught.value).endswith("Make the recipe anew.")


def facts(n: int, **more: Any) -> Facts:
    return Facts((), np.ones(n), **more)


def rows(*found: int) -> Any:
    return np.array(found, np.int64)


def test_what_is_pinned_is_kept_first_or_dropped_whatever_its_score_and_takes_its_budget() -> None:
    scores = scored([5.0, 4, 3, np.nan, 1])
    pinned = facts(5, pinned=(rows(3, 4), rows(0)))
    subset = apply(recipe(budget="3"), scores, pinned)
    assert subset.chosen.tolist() == [3, 4, 1]
    assert subset.reason.tolist() == [
        "dropped by hand",
        "kept",
        "budget: ranked below the 3 that fit",
        "kept",
        "kept",
    ]
    full = apply(recipe(budget="2"), scores, pinned)
    assert full.chosen.tolist() == [3, 4]
    assert full.notes == ("What is kept by hand takes the whole budget.",)
    tokens = apply(recipe(budget="3 tokens"), scores, pinned)
    assert tokens.chosen.tolist() == [3, 4, 1]


def test_a_quota_leaves_the_best_of_a_source_and_counts_the_pinned() -> None:
    scores = scored([5.0, 4, 3, 2, 1])
    source = np.array([0, 0, 0, 1, 1])
    made = recipe(budget="100%", quotas={"a": 2, "gone": 0})
    subset = apply(made, scores, facts(5, source=source, sources=("a", "b")))
    assert subset.chosen.tolist() == [0, 1, 3, 4]
    assert subset.reason[2] == "quota: 2 of a"
    pinned = facts(5, source=source, sources=("a", "b"), pinned=(rows(2), rows()))
    assert apply(made, scores, pinned).chosen.tolist() == [2, 0, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 3), NUMBERS), max_size=20))
def test_of_each_group_of_near_duplicates_the_best_candidate_is_left(cells: Any) -> None:
    group = np.array([g for g, _ in cells], np.int64)
    value = np.array([v for _, v in cells], float)
    made = recipe(budget="100%", distinct={"map_id": "c" * 20})
    subset = apply(made, scored(value.tolist()), facts(len(cells), duplicates=group))
    for g in set(group.tolist()):
        mine = [r for r in np.flatnonzero(group == g) if not np.isnan(value[r])]
        best = [max(mine, key=lambda r: (value[r], -r))] if mine else []
        assert [r for r in np.flatnonzero(group == g) if subset.mask[r]] == best
    assert sum(subset.counts().values()) == len(cells)


def test_a_sample_that_is_nobodys_near_duplicate_is_alone() -> None:
    made = recipe(budget="100%", distinct={"map_id": "c" * 20})
    group = rows(-1, 1, 1, -1, 4, 4, 4, -1)
    subset = apply(made, scored([1, 2, 3, 4, 9, 5, np.nan, 0]), facts(8, duplicates=group))
    assert sorted(subset.chosen.tolist()) == [0, 2, 3, 4, 7]
    assert subset.counts() == {"kept": 5, f"rule: {made.distinct}": 2, "not scored: no number": 1}
