"""Rules: the SQL says what the slow definition says, on every kind and under changed knobs."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import mapping, pools, runs, store
from core.domain import RunSpec
from core.errors import SFTLensError
from core.recipe import Distinct, Pin, Recipe
from core.rules import Among, Lasso, Range, Search, parse
from core.selection import load, select
from core.store import pools as stored_pools
from core.store import predicates

WORDS = ("one", "Two", 'quo"te', "back\\slash", "é", "مرحبا", "50%_x", "line\nbreak", "'; --")


def records(n: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Say {WORDS[i % len(WORDS)]} for {i}",
            "output": " ".join(WORDS[(i * j) % len(WORDS)] for j in range(1, 2 + i % 5)),
            "source": f"s{i % 3}",
            "level": i % 7 if i % 5 else None,
            "topic": "A" if i % 2 else "b'c",
        }
        for i in range(n)
    ]


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records()), "utf8")
    pools.import_files([path], "toy")
    pools.import_files([path], "decoy")  # the same ids in another pool
    run = runs.execute(RunSpec("toy", "differential_entropy", model="fake")).run
    return Recipe(pool="toy", method=run.method, run_id=run.run_id, budget="100%")


def samples():
    with store.connect() as con:
        ids = stored_pools.get_pool(con, "toy").sample_ids
        return stored_pools.read_samples(con, "toy", ids)


def passed(recipe: Recipe, rule: Any) -> list[bool]:
    return select(recipe.model_copy(update={"rules": (rule,)})).subset.passed[0].tolist()


@pytest.mark.parametrize("text", [*WORDS, "SAY", "user", "assistant", "\\n", "nowhere", "%", "_"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_search_finds_the_text_of_turns_and_nothing_of_how_they_are_stored(made, text, keep):
    expected = [
        any(text.lower() in turn.content.lower() for turn in sample.turns) is keep
        for sample in samples()
    ]
    assert passed(made, Search(text=text, keep=keep)) == expected


@pytest.mark.parametrize("keep", [True, False])
def test_sources_and_meta_columns_are_compared_as_texts(made, keep):
    pool = samples()
    for values in (("s0",), ("s1", "s2"), ("nope",), ("s0' OR 1=1 --",)):
        expected = [(s.source in values) is keep for s in pool]
        assert passed(made, Among(column="source", values=values, keep=keep)) == expected
    expected = [(s.meta["topic"] == "b'c") is keep for s in pool]
    assert passed(made, Among(column="meta.topic", values=("b'c",), keep=keep)) == expected


@pytest.mark.parametrize("column", ["n_turns", "n_chars", "n_tokens", "entropy_drop", "score"])
@pytest.mark.parametrize("live", [{}, {"trim_low": 0.3}])
def test_ranges_are_what_their_definition_says_on_stored_and_on_live_columns(made, column, live):
    made = made.model_copy(update={"params": live})
    columns = select(made).columns
    value = columns.get(column)
    if value is None:
        value = np.array([len(s.turns) for s in samples()], float)
    middle = float(np.nanmedian(value))
    for low, high in ((None, middle), (middle, None), (middle, middle), (None, None)):
        rule = Range(column=column, low=low, high=high)
        assert passed(made, rule) == rule.passed(value).tolist()


def test_a_meta_number_that_is_missing_passes_no_range(made):
    value = [s.meta.get("level") for s in samples()]
    rule = Range(column="meta.level", low=2, high=4)
    assert passed(made, rule) == [v is not None and 2 <= v <= 4 for v in value]
    nonsense = Range(column="meta.topic", low=0)
    assert not any(passed(made, nonsense))


def test_a_range_may_be_on_another_run_of_the_pool(made):
    other = runs.execute(RunSpec("toy", "perplexity", model="fake")).run
    value = load(other.run_id).columns["value"]
    rule = Range(column="score", low=float(np.nanmedian(value)), run=other.run_id)
    assert passed(made, rule) == rule.passed(value).tolist()
    gone = Range(column="score", low=0, run="0" * 20)
    with pytest.raises(SFTLensError, match="the run that a rule is on is not in the store"):
        passed(made, gone)


def test_an_unknown_column_lists_those_there_are_and_cannot_reach_a_statement(made):
    for column in ("nope", 'value" OR 1=1', "sample_id", "reason"):
        with pytest.raises(SFTLensError, match=r"no such column. Use one of: .*n_tokens"):
            passed(made, Range(column=column, low=0))
    with pytest.raises(SFTLensError, match="is not a column of texts"):
        passed(made, Among(column="turns", values=("x",)))


def inside(x: float, y: float, polygon: Any) -> bool:
    """Crossing number, one edge after the other."""
    odd = False
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            odd = not odd
    return odd


@pytest.fixture
def mapped(made):
    with store.connect() as con:
        pool = stored_pools.get_pool(con, "toy")
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(len(pool), 8)).astype(np.float32)
    vectors[40:44] = vectors[4:8]  # exact near-duplicates
    usable = np.arange(len(pool)) != 3
    row = mapping.make_from(pool, "instructions", vectors, usable, {"made": "by hand"})
    return made, row.map_id


def test_a_lasso_holds_what_lies_in_its_polygon(mapped):
    made, map_id = mapped
    with store.connect() as con:
        rows = store.maps.map_rows(con, map_id)
    x, y = rows["x"].astype(float), rows["y"].astype(float)
    middle, span = (np.nanmean(x), np.nanmean(y)), float(np.nanmax(x) - np.nanmin(x))
    rng = np.random.default_rng(2)
    for corners in (3, 5, 24):
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        far = span * rng.uniform(0.1, 0.6, corners)
        polygon = [
            (float(middle[0] + r * np.cos(a)), float(middle[1] + r * np.sin(a)))
            for a, r in zip(angle, far, strict=True)
        ]
        expected = [inside(a, b, polygon) for a, b in zip(x, y, strict=True)]
        for keep in (True, False):
            rule = Lasso(map_id=map_id, polygon=tuple(polygon), keep=keep)
            found = passed(made, rule)
            assert [f is keep for f in found] == expected
    assert any(expected)
    with pytest.raises(SFTLensError, match="the map that a lasso is on is not in the store"):
        passed(made, Lasso(map_id="0" * 20, polygon=((0, 0), (1, 0), (0, 1))))


def test_of_near_duplicates_the_best_is_kept_unless_another_is_pinned(mapped):
    made, map_id = mapped
    value = select(made).scores.value
    pairs = [(row, row + 36) for row in (4, 5, 6, 7)]
    once = made.model_copy(update={"distinct": Distinct(map_id=map_id)})
    chosen = select(once)
    for a, b in pairs:
        scored = [r for r in (a, b) if not np.isnan(value[r])]
        best = [max(scored, key=lambda r: (value[r], -r))] if scored else []
        assert [r for r in (a, b) if chosen.subset.mask[r]] == best
    a, b = next((a, b) for a, b in pairs if not np.isnan(value[[a, b]]).any())
    worse = a if chosen.subset.mask[b] else b
    pin = Pin(sample_id=chosen.ids[worse], keep=True)
    pinned = select(once.model_copy(update={"pins": (pin,)})).subset
    assert [r for r in (a, b) if pinned.mask[r]] == [worse]


def test_the_printed_sql_finds_the_samples_that_pass_every_rule(mapped):
    made, map_id = mapped
    rules = (
        Search(text="say", keep=True),
        Search(text="'; --", keep=False),
        Among(column="source", values=("s0", "s1")),
        Among(column="meta.topic", values=("b'c",), keep=False),
        Range(column="meta.level", low=0),
        Range(column="n_tokens", low=1),
        Lasso(map_id=map_id, polygon=((-99, -99), (99, -99), (99, 99), (-99, 99))),
    )
    chosen = select(made.model_copy(update={"rules": rules}))
    expected = np.flatnonzero(np.logical_and.reduce(chosen.subset.passed))
    with store.connect() as con:
        text = predicates.predicate(con, rules, "toy", made.run_id)
        found = [i for (i,) in con.execute(text).fetchall()]
    assert 0 < len(found) < 60
    assert found == [chosen.ids[int(row)] for row in expected]


def test_a_later_rule_in_a_slot_is_another_rule_of_the_same_slot():
    assert Range(column="x", low=1).slot == Range(column="x", high=2).slot == "x"
    assert Range(column="x", run="a" * 20).slot != "x"
    assert Among(column="source", values=("a",)).slot == Among(column="source", values=("b",)).slot
    assert Search(text="A").slot == Search(text="a").slot
    square = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    assert (
        Lasso(map_id="a" * 20, polygon=square).slot != Lasso(map_id="b" * 20, polygon=square).slot
    )


@given(st.text(min_size=1, max_size=60).filter(str.isprintable))
def test_every_rule_reads_as_one_line(text: str) -> None:
    for rule in (Search(text=text), Among(column="source", values=(text,))):
        assert "\n" not in str(rule)
        assert len(str(rule)) < 60


def test_a_number_no_computer_holds_is_refused():
    with pytest.raises(SFTLensError, match="its number is too large"):
        parse("x<=1e999")
