"""What the Recipe page asks of the store: columns beyond the run's, curves, steps."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import streamlit as st

from core import rescoring, store
from core import sensitivity as sens
from core.bench import Bench, SomeColumns, bench
from core.domain import FloatN, Scores
from core.errors import MethodError, SFTLensError
from core.methods import build
from core.recipe import Recipe
from core.rules import Range
from core.selection import Selection
from core.store import facets
from core.store.runs import Run
from core.waterfall import Step, waterfall
from pages.ui import data
from pages.ui.forms import bounds

Place = tuple[str, int]
Kind = Literal["rule", "budget", "knob"]
ENDS: tuple[sens.End, ...] = ("low", "high")


class Threshold(NamedTuple):
    """A curve, and what a click on it moves: an end of a rule, the budget, or a live knob."""

    kind: Kind
    name: str  # of the end or the knob
    rule: Range | None
    curve: sens.Curve


def _fingerprint(pool: str) -> str:
    found = data.pools()
    return str(found.loc[found["pool"] == pool, "fingerprint"].iloc[0])


@data.told
def meta_columns(pool: str) -> tuple[list[str], list[str]]:
    """See `facets.meta_columns`."""
    return _meta(data.place(), pool, _fingerprint(pool))


@st.cache_resource(max_entries=8, show_spinner=False)
def _meta(at: Place, pool: str, fingerprint: str) -> tuple[list[str], list[str]]:
    with store.connect() as con:
        return facets.meta_columns(con, pool)


@data.told
def values(pool: str, column: str) -> list[tuple[str, int]]:
    """See `facets.values`."""
    return _values(data.place(), pool, _fingerprint(pool), column)


@st.cache_resource(max_entries=16, show_spinner=False)
def _values(at: Place, pool: str, fingerprint: str, column: str) -> list[tuple[str, int]]:
    with store.connect() as con:
        return facets.values(con, pool, column)


@data.told
def sample_numbers(pool: str, column: str, n: int) -> FloatN:
    """See `facets.numbers`."""
    return _numbers(data.place(), pool, _fingerprint(pool), column, n)


@st.cache_resource(max_entries=6, show_spinner=False)
def _numbers(at: Place, pool: str, fingerprint: str, column: str, n: int) -> FloatN:
    with store.connect() as con:
        return facets.numbers(con, pool, column, n)


@data.told
def run_numbers(run_id: str) -> list[str]:
    """See `facets.run_numbers`."""
    return _run_numbers(data.place(), run_id)


@st.cache_resource(max_entries=32, show_spinner=False)
def _run_numbers(at: Place, run_id: str) -> list[str]:
    with store.connect() as con:
        return facets.run_numbers(con, run_id)


def of_run(selection: Selection, run_id: str) -> Selection:
    """Another run of the pool under its own parameters, with what this recipe keeps."""
    if run_id in ("", selection.run.run_id):
        return selection
    found = data.scored(selection.run.pool)
    method = str(found.loc[found["run_id"] == run_id, "method"].iloc[0])
    shown = Recipe(pool=selection.run.pool, method=method, run_id=run_id, budget="100%")
    return replace(data.select(shown), subset=selection.subset)


def column(selection: Selection, rule: Range) -> FloatN:
    """The column (n,) that a rule is on."""
    columns = of_run(selection, rule.run).columns
    if rule.column in columns:
        return np.asarray(columns[rule.column], np.float64)
    return sample_numbers(selection.run.pool, rule.column, selection.run.n)


def steps(selection: Selection) -> list[Step]:
    """See `waterfall`."""
    return _steps(data.place(), selection.recipe.model_dump_json(), selection)


@st.cache_resource(max_entries=16, show_spinner=False)
def _steps(at: Place, recipe: str, _selection: Selection) -> list[Step]:
    s = _selection
    return waterfall(s.recipe, s.scores, s.facts, s.subset)


@data.told
def thresholds(selection: Selection) -> list[Threshold]:
    """The curves of everything in the recipe that is a number: rules, budget, live knobs."""
    return _thresholds(data.place(), selection.recipe.model_dump_json(), selection)


@st.cache_resource(max_entries=8, show_spinner=False)
def _thresholds(at: Place, recipe: str, _selection: Selection) -> list[Threshold]:
    s = _selection
    on = bench(s.recipe, s.scores, s.facts)
    again = bench(s.recipe, s.scores, s.facts, once=False)
    asked: list[tuple[Kind, str, Range | None, Callable[[], sens.Curve]]]
    asked = [("budget", "budget", None, partial(sens.budget_curve, on))]
    for i, rule in enumerate(s.recipe.rules):
        for end in ENDS:
            if isinstance(rule, Range) and getattr(rule, end) is not None:
                asked.append(("rule", end, rule, partial(_rule, s, on, i, end)))
    asked += [("knob", name, None, partial(_knob, s, again, name)) for name in knobs(s)]
    found = []
    for kind, name, own, curve in asked:
        try:
            found.append(Threshold(kind, name, own, curve()))
        except SFTLensError:  # what a recipe asks of a whole pool a sample of it may not have
            continue
    return found


def _rule(selection: Selection, on: Bench, i: int, end: sens.End) -> sens.Curve:
    rule = selection.recipe.rules[i]
    assert isinstance(rule, Range)
    return sens.rule_curve(on, i, end, column(selection, rule))


def knobs(selection: Selection) -> list[str]:
    """Live parameters of the method that are numbers; a seed has no more and no less."""
    method = build(selection.run.method, selection.run.params)
    fields = type(method).model_fields
    return [
        name
        for name in method.live()
        if fields[name].annotation in (int, float) and not name.endswith("seed")
    ]


def _knob(selection: Selection, on: Bench, name: str) -> sens.Curve:
    run, recipe = selection.run, selection.recipe
    field = type(build(run.method)).model_fields[name]
    low, high = bounds(field)
    now = float((run.params | recipe.params)[name])
    whole = field.annotation is int
    columns = SomeColumns(selection.loaded.columns, on.rows)
    at = sens.knob_places(
        -np.inf if low is None else low, np.inf if high is None else high, now, whole=whole
    )
    kind: Callable[[float], float] = int if whole else float

    def rescore(place: float) -> Scores:
        return rescoring.rescore(run, columns, recipe.params | {name: kind(place)})

    allowed = [place for place in at.tolist() if _allowed(run, recipe.params | {name: kind(place)})]
    return sens.knob_curve(on, name, allowed, rescore, now)


def _allowed(run: Run, params: dict[str, Any]) -> bool:
    """Whether a method takes these parameters together; one may bound the other."""
    try:
        build(run.method, run.params).with_params(params)
    except MethodError:
        return False
    return True
