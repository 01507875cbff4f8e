"""The Recipe page without a browser: rules, steps, fragility, the random draw, saved recipes."""

import numpy as np
import pytest
from test_app import open_page, rows, text_of, write_pool

from core import runs
from core.domain import RunSpec
from core.recipe import Distinct
from core.rules import Among, Range, Search
from core.sensitivity import Curve
from core.waterfall import Step
from pages.ui import data_people, recipe_views
from pages.ui.charts import LIGHT
from pages.ui.charts import recipe as charts
from pages.ui.data_recipe import Threshold

SCRIPT = "pages/recipe.py"
EVIL = "<script>alert(1)</script> **bold** [x](http://a.example) ![y](http://b.example/y.png)"


def score(method="differential_entropy", **params):
    return runs.execute(RunSpec("toy", method, params, model="fake")).run


@pytest.fixture
def scored(tmp_path):
    write_pool(tmp_path, [r | {"level": i % 4} for i, r in enumerate(rows())])
    return score()


def recipe(page):
    return page.session_state["state"].recipe


def run(page):
    page.run()
    assert not page.exception
    return page


@pytest.mark.usefixtures("scored")
def test_every_part_of_the_page_has_something_to_say():
    page = open_page(SCRIPT)
    said = text_of(page)
    assert "The most fragile threshold is" in said
    assert "of it is in the subset itself" in said
    assert "None yet. The bookmark" in said
    assert "sftlens map toy" in said
    beside = next(f.value for f in page.dataframe if "verdict" in f.value.columns)
    assert "random, same size and length" in beside.columns
    assert {"response tokens", "score", "from s0"} <= set(beside[""])


@pytest.mark.usefixtures("scored")
def test_a_search_a_choice_of_sources_and_a_quota_become_rules_and_go_again():
    page = open_page(SCRIPT)
    page.text_input(key="recipe_search_text").input("Say 1")
    next(b for b in page.button if b.label == "Add the rule").click().run()
    assert not page.exception
    assert recipe(page).rules == (Search(text="Say 1"),)
    assert "11 of 60 samples pass" in text_of(page)
    page.multiselect(key="recipe_among_source:in").set_value(["s0", "s2"]).run()
    assert recipe(page).rules[1] == Among(column="source", values=("s0", "s2"))
    page.multiselect(key="recipe_among_source:in").set_value([]).run()
    assert len(recipe(page).rules) == 1
    page.number_input(key="recipe_quota_most").set_value(1)
    next(b for b in page.button if b.label == "Set the quota").click().run()
    assert not page.exception
    assert recipe(page).quotas == {"s0": 1}
    assert "s0: at most 1" in text_of(page)
    page.button(key="recipe_quota_s0").click().run()
    assert recipe(page).quotas == {}


@pytest.mark.usefixtures("scored")
def test_values_can_be_dropped_and_an_undo_shows_in_the_widget():
    page = open_page(SCRIPT)
    page.segmented_control(key="recipe_among_side").set_value("drop").run()
    page.multiselect(key="recipe_among_source:out").set_value(["s1"]).run()
    assert recipe(page).rules == (Among(column="source", values=("s1",), keep=False),)
    page.button(key="frame_undo").click().run()
    assert page.multiselect(key="recipe_among_source:out").value == []


def test_a_column_of_another_run_and_of_the_samples_has_its_slider(scored):
    other = score("random")
    page = open_page(SCRIPT)
    assert recipe(page).method == "differential_entropy"
    box = page.selectbox(key="recipe_rule_of")
    box.set_value(other.run_id).run()
    slider = page.slider(key=f"recipe_{other.run_id}_score_range")
    slider.set_value((slider.min, 0.5)).run()
    assert not page.exception
    assert recipe(page).rules == (Range(column="score", run=other.run_id, high=0.5),)
    page.selectbox(key="recipe_rule_of").set_value("").run()
    page.selectbox(key="recipe_rule_column").set_value("meta.level").run()
    slider = page.slider(key="recipe_samples_meta.level_range")
    slider.set_value((2.0, slider.max)).run()
    assert not page.exception
    assert recipe(page).rules[1] == Range(column="meta.level", low=2.0)
    assert "The most fragile threshold is" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_pins_are_listed_and_can_be_taken_back():
    page = open_page(SCRIPT)
    here = page.session_state["state"]
    sample = here.sample
    here.pin(sample, False)
    run(page)
    assert [b.key for b in page.button if b.key == f"recipe_pin_{sample}"]
    page.button(key=f"recipe_pin_{sample}").click().run()
    assert not page.exception
    assert recipe(page).pins == ()


@pytest.mark.usefixtures("scored")
def test_saved_recipes_are_opened_and_old_versions_restored_by_adding():
    page = open_page(SCRIPT)
    first = recipe(page)
    second = first.model_copy(update={"budget": "50%"})
    data_people.save_recipe("mine", first)
    data_people.save_recipe("mine", second, "more")
    page = open_page(SCRIPT)
    page.session_state["recipe_saved_list"] = {"selection": {"rows": [0], "columns": []}}
    run(page)
    page.button(key="recipe_saved_open").click().run()
    assert recipe(page) == second
    page.session_state["recipe_saved_list"] = {"selection": {"rows": [0], "columns": []}}
    run(page)
    page.button(key="recipe_restore_1").click().run()
    assert not page.exception
    assert recipe(page) == first
    history = data_people.recipe_history("mine")
    assert history["version"].tolist() == [3, 2, 1]
    assert history["note"].tolist()[0] == "restored version 1"


@pytest.mark.usefixtures("scored")
def test_a_recipe_that_keeps_nothing_has_a_reason_in_every_panel():
    page = open_page(SCRIPT)
    page.session_state["state"].add_rule(Range(column="score", low=1e9))
    said = text_of(run(page))
    assert "nothing can be exchanged" in said
    assert "nothing to match" in said
    assert "No sample on this side" in said


def test_one_long_sample_with_markup_everywhere_is_shown_as_text(tmp_path):
    write_pool(
        tmp_path, [{"instruction": EVIL, "output": "مرحبا " * 3000, "source": EVIL, EVIL: 3}]
    )
    score("random")
    page = open_page(SCRIPT)
    here = page.session_state["state"]
    here.change(budget="100%", quotas={EVIL: 1})
    here.add_rule(Search(text=EVIL))
    here.add_rule(Among(column="source", values=(EVIL,)))
    run(page)
    here.pin(here.sample, True)
    run(page)
    page.selectbox(key="recipe_rule_of").set_value("").run()
    assert not page.exception
    assert "**1** of 1 kept" in text_of(page)
    shown = [*page.markdown, *page.caption]
    assert not [m for m in shown if EVIL in m.value]


@pytest.mark.parametrize(
    ("kind", "name", "rule", "changed"),
    [
        ("rule", "low", Range(column="x", low=1, high=9), {"rules": (2.5, 9.0)}),
        ("rule", "high", Range(column="x", low=5, high=9), {"rules": (5.0, 5.0)}),
        ("rule", "low", Range(column="x", low=1, high=2), {"rules": (2.0, 2.0)}),
        ("budget", "budget", None, {"budget": "2.5%"}),
        ("knob", "trim_low", None, {"params": {"trim_low": 2.5}}),
    ],
)
def test_a_click_on_a_curve_moves_what_it_is_of(monkeypatch, kind, name, rule, changed):
    from core.recipe import Recipe
    from pages.ui.state import State

    here = State(
        recipe=Recipe(pool="p", method="m", run_id="a" * 20, rules=(rule,) if rule else ())
    )
    monkeypatch.setattr(recipe_views, "state", lambda: here)
    curve = Curve("x", np.array([1.0, 2.5]), np.zeros(2), np.ones(2), 1.0, 9)
    recipe_views._move(Threshold(kind, name, rule, curve), 2.5)
    found = {"budget": here.recipe.budget, "params": here.recipe.params}
    found["rules"] = tuple((r.low, r.high) for r in here.recipe.rules)[0:1]
    found["rules"] = found["rules"][0] if found["rules"] else ()
    assert {key: found[key] for key in changed} == changed


def test_steps_of_a_waterfall_show_markup_as_text_and_end_at_what_is_kept():
    steps = [Step(f"rule: {EVIL}", 3, 5), Step("budget: x", 4, 6)]
    drawn = charts.waterfall(steps, [EVIL, "over the budget"], 10, LIGHT)
    assert "<script>" not in drawn.to_json().replace("\\u003c", "<")
    assert list(drawn.data[0].x) == [10, 3]
    assert charts.waterfall([], [], 0, LIGHT) is None
    still = Curve("x", np.array([1.0]), np.ones(1), np.ones(1), 1.0, 9)
    assert charts.sensitivity(still, LIGHT) is None


def test_reasons_are_short_names_of_steps():
    distinct = Distinct(map_id="a" * 20)
    short = recipe_views.short
    assert short(f"rule: {distinct}") == str(distinct)
    assert short("quota: 3 of a: b") == "at most 3 of a: b"
    assert short("not scored: too long") == "too long"
    assert short("budget: ranked below the 10% that fit") == "over the budget"
    assert short("dropped by hand") == "dropped by hand"
