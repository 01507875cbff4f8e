"""The decision trace and the percentiles, against the obvious."""

import numpy as np
import pytest
from calls import jsonl, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from core import pools, runs, store
from core.domain import RunSpec, Scores
from core.recipe import Distinct, Pin, Recipe
from core.rules import Among, Range, Search
from core.standing import Standing, shown
from core.store import pools as stored_pools
from core.store import runs as stored_runs
from core.store.standing import standings
from core.subset import Facts, apply
from core.trace import Decided, headline, running, trace

MAP, RUN = "a" * 20, "b" * 20
SOURCES = ("even", "odd")


def decided(n=20, seed=0, group=None, values=None, pinned=((), ()), duplicates=None, **recipe):
    chance = np.random.default_rng(seed)
    value = chance.permutation(n) / n
    value[0] = np.nan
    columns = {"score": value, "n_tokens": np.full(n, 4.0), "drop": chance.normal(size=n)}
    scores = Scores(value, group, {"too long": np.isnan(value)}, dict(columns))
    made = Recipe(pool="p", method="m", run_id=RUN, **recipe)
    source = np.arange(n) % 2
    passed = []
    for rule in made.rules:
        if isinstance(rule, Range) and not rule.run and rule.column in columns:
            passed.append(rule.passed(columns[rule.column]))
        else:
            passed.append(np.arange(n) % 3 > 0)
    facts = Facts(
        tuple(passed),
        columns["n_tokens"],
        source,
        SOURCES,
        np.arange(n),
        duplicates,
        tuple(np.array(p, np.int64) for p in pinned),
    )
    subset = apply(made, scores, facts)
    hands = np.array([row for rows in pinned for row in rows], np.int64)
    return Decided(made, scores, subset, columns, source, SOURCES, values or {}, hands)


def by_name(d, row, pinned=None):
    return {step.name.split(":")[0]: step for step in trace(d, row, pinned)}


def test_a_rank_counts_the_scored_samples_from_the_highest():
    d = decided(budget="100%")
    best = int(np.nanargmax(d.scores.value))
    assert headline(d, best) == "kept: rank 1 of 19"
    assert by_name(d, best)["score"].detail == "0.95, rank 1 of 19"


def test_a_sample_without_a_score_says_why():
    d = decided()
    assert headline(d, 0) == "dropped: not scored: too long"
    steps = by_name(d, 0)
    assert (steps["score"].passed, steps["score"].detail) == (False, "not scored: too long")
    assert steps["budget"].passed is None


@given(st.integers(0, 200), st.integers(0, 19))
@settings(deadline=None, max_examples=60)
def test_a_margin_is_the_distance_to_the_nearest_bound(seed, row):
    rule = Range(column="drop", low=-0.5, high=1.0)
    d = decided(seed=seed, rules=(rule,))
    number = d.columns["drop"][row]
    step = by_name(d, row)["rule 1"]
    assert step.passed == (-0.5 <= number <= 1.0)
    word = "passed by" if step.passed else "missed by"
    gap = min(number + 0.5, 1.0 - number)
    assert step.detail.startswith(f"{word} {abs(gap):.4g} (it has ")


def test_the_bound_itself_passes_by_nothing():
    d = decided()
    rule = Range(column="drop", high=float(d.columns["drop"][3]))
    assert by_name(decided(rules=(rule,)), 3)["rule 1"].detail.startswith("passed by nothing")


def test_rules_on_other_columns_take_their_number_from_values_or_have_no_margin():
    far = Range(column="n_chars", low=10.0)
    d = decided(rules=(far, Search(text="x"), Among(column="source", values=("odd",))))
    assert by_name(d, 4)["rule 1"].detail == "passed"
    assert by_name(d, 3)["rule 1"].detail == "not passed: it has no number"
    assert [by_name(d, 4)[f"rule {k}"].detail for k in (2, 3)] == ["passed", "passed"]
    d = decided(rules=(far,), values={"n_chars": 12.5})
    assert by_name(d, 4)["rule 1"].detail == "passed by 2.5 (it has 12.5)"


def test_every_rule_is_told_alone_even_where_an_earlier_one_dropped_the_sample():
    rules = (Range(column="drop", low=99.0), Range(column="n_tokens", low=1.0))
    steps = by_name(decided(rules=rules), 5)
    assert (steps["rule 1"].passed, steps["rule 2"].passed) == (False, True)
    assert steps["budget"].passed is None


@pytest.mark.parametrize("budget", ["1", "5", "18"])
def test_the_budget_line_is_the_lowest_score_that_was_kept(budget):
    d = decided(budget=budget)
    kept = np.sort(d.scores.value[d.subset.mask])
    left = np.nanmax(np.where(d.subset.mask, np.nan, d.scores.value))
    last, first_out = d.subset.chosen[-1], int(np.flatnonzero(d.scores.value == left)[0])
    assert by_name(d, last)["budget"].detail == (
        f"budget line at score {kept[0]:.4g}; {kept[0] - left:.4g} above the first that did not fit"
    )
    step = by_name(d, first_out)["budget"]
    assert step.passed is False
    assert step.detail.endswith(f"{kept[0] - left:.4g} below the last that fits")


def test_a_budget_with_room_for_all_says_so():
    d = decided(budget="100%")
    assert "room for all" in by_name(d, 5)["budget"].detail
    d = decided(budget="1 tokens")
    assert "takes none" in by_name(d, 5)["budget"].detail


def test_a_policy_by_groups_has_a_line_a_group():
    group = np.arange(20) // 10
    d = decided(budget="6", policy="quotas", group=group)
    for row in d.subset.chosen.tolist():
        step = by_name(d, row)["budget"]
        kept = int((d.subset.mask & (group == group[row])).sum())
        assert step.passed
        assert step.detail.startswith(f"group {group[row]} keeps {kept} of ")


def test_a_policy_that_does_not_cut_at_one_score_says_its_turn():
    d = decided(budget="6", policy="random")
    row = int(d.subset.chosen[2])
    assert by_name(d, row)["budget"].detail == (
        "taken as number 3 by random, which does not cut at one score"
    )


def test_a_hand_is_a_step_of_its_own():
    ids = [f"{k:020x}" for k in range(3)]
    pins = (Pin(sample_id=ids[1], keep=True), Pin(sample_id=ids[2], keep=False))
    d = decided(pinned=((1,), (2,)), pins=pins, budget="3")
    assert headline(d, 1, True) == "kept by hand"
    assert by_name(d, 1, True)["by hand"].passed is True
    assert by_name(d, 1, True)["budget"].passed is None
    assert headline(d, 2, False) == "dropped: dropped by hand"
    assert by_name(d, 2, False)["by hand"].passed is False


def test_a_hand_does_not_move_the_budget_line():
    value = decided().scores.value
    low = int(np.nanargmin(value))
    pins = (Pin(sample_id="0" * 20, keep=True),)
    d = decided(pinned=((low,), ()), pins=pins, budget="4")
    taken = d.subset.chosen[1:]
    step = by_name(d, int(taken[0]))["budget"]
    assert step.detail.startswith(f"budget line at score {value[taken].min():.4g}; ")


def test_near_duplicates_and_quotas_tell_who_came_first():
    group = np.full(20, -1)
    group[5:9] = 5
    group[group < 0] = np.flatnonzero(group < 0)
    d = decided(duplicates=group, distinct=Distinct(map_id=MAP), budget="100%")
    best = 5 + int(np.argmax(d.scores.value[5:9]))
    for row in range(5, 9):
        assert by_name(d, row)["near-duplicates"].passed is (row == best)
    assert by_name(d, 0)["near-duplicates"].passed is None
    d = decided(quotas={"odd": 2}, budget="100%")
    odd = np.arange(1, 20, 2)
    order = odd[np.argsort(-d.scores.value[odd])]
    for place, row in enumerate(order.tolist(), 1):
        step = by_name(d, row)["source quota"]
        assert step.passed is (place <= 2)
        assert step.detail == f"place {place} of 10 from odd, at most 2"
    assert "source quota" not in by_name(d, 2)


def test_in_the_running_are_those_between_whom_the_budget_decides():
    d = decided(rules=(Range(column="drop", low=0.0),), budget="3")
    right = (d.columns["drop"] >= 0) & ~np.isnan(d.scores.value)
    np.testing.assert_array_equal(running(d.subset), right)
    row = int(d.subset.chosen[0])
    assert not running(d.subset, np.array([row]))[row]


def test_a_minus_is_a_minus_and_zero_has_none():
    d = decided(rules=(Range(column="drop", low=-9.0),))
    d.columns["drop"][:] = -1.5
    assert by_name(d, 4)["rule 1"].detail == "passed by 7.5 (it has −1.5)"
    d.columns["drop"][:] = -0.0
    assert by_name(d, 4)["rule 1"].detail == "passed by 9 (it has 0)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12341, "0.1234"), (-0.5, "−0.5"), (-0.0, "0"), (1e-7, "1e−07"), (12345.6, "12,346")],
)
def test_a_number_has_four_digits_and_thousands_apart(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((12, 88, 100, 3, 7, 10), "lower than 88 % of the pool, lower than 70 % of its source"),
        ((88, 12, 100, 10, 0, 10), "higher than 88 % of the pool, the highest of its source"),
        ((0, 999, 1000, 0, 0, 0), "lower than 99 % of the pool"),
        ((0, 1000, 1000, 0, 0, 0), "the lowest of the pool"),
        ((0, 0, 10, 0, 0, 3), "equal to all others"),
        ((0, 0, 0, 0, 0, 0), "the only one with a number"),
    ],
)
def test_a_standing_in_words(counts, sentence):
    assert Standing("score", 1.0, *counts).sentence() == sentence
    assert Standing("score", np.nan, *counts).sentence() == "no number"


def test_standings_are_counted_over_the_other_samples(tmp_path):
    pools.import_files([jsonl(tmp_path / "toy.jsonl", rows(30))], "toy")
    run = runs.execute(RunSpec("toy", "differential_entropy", model="fake")).run
    with store.connect() as con:
        columns = stored_runs.run_columns(con, run.run_id)
        ids = stored_pools.get_pool(con, "toy").sample_ids
        source = [s.source for s in stored_pools.read_samples(con, "toy", ids)]
        assert standings(con, "toy", run.run_id, 99, ()) == []
        for row in range(0, 30, 4):
            found = standings(con, "toy", run.run_id, row, ("entropy_drop", "no_such_column"))
            assert [s.column for s in found] == ["score", "entropy_drop"]
            for s, name in zip(found, ("value", "entropy_drop"), strict=True):
                check_standing(s, columns[name], [x == source[row] for x in source], row)
            assert stored_runs.cell(con, run.run_id, "entropy_drop", row) == found[1].value
        np.testing.assert_array_equal(stored_runs.run_value(con, run.run_id), columns["value"])
        assert np.isnan(stored_runs.cell(con, run.run_id, "no_such_column", 0))


def check_standing(s, column, mine, row):
    others = np.arange(len(column)) != row
    peers = others & np.array(mine)
    np.testing.assert_equal(s.value, column[row])
    if np.isnan(column[row]):
        assert s.sentence() == "no number"
        return
    known = ~np.isnan(column)
    assert s.below == (column[others] < column[row]).sum()
    assert s.above == (column[others] > column[row]).sum()
    assert s.of == (others & known).sum()
    assert s.source_below == (column[peers] < column[row]).sum()
    assert s.source_above == (column[peers] > column[row]).sum()
    assert s.source_of == (peers & known).sum()
