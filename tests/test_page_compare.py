"""The Compare page without a browser: who B is, what differs, and changing places."""

import numpy as np
import pytest
from test_app import open_page, rows, text_of, write_pool

from core import comparison, runs
from core.domain import RunSpec
from core.recipe import Recipe
from core.rules import Range
from pages.ui import data_people
from pages.ui.charts import LIGHT
from pages.ui.charts import compare as charts

SCRIPT = "pages/compare.py"
EVIL = "<script>alert(1)</script> **bold** [x](http://a.example) ![y](http://b.example/y.png)"


def score(method="random", **params):
    return runs.execute(RunSpec("toy", method, params, model="fake")).run


@pytest.fixture
def scored(tmp_path):
    write_pool(tmp_path, rows())
    return score()


def here(page):
    return page.session_state["state"]


def choose(page, start):
    box = page.selectbox(key="compare_rival")
    box.select_index(next(i for i, o in enumerate(box.options) if o.startswith(start))).run()
    assert not page.exception
    return page


@pytest.mark.usefixtures("scored")
def test_a_random_draw_of_the_same_size_is_compared_first():
    page = open_page(SCRIPT)
    said = text_of(page)
    assert "Jaccard index **" in said
    assert "A random draw has no ranking" in said
    assert page.button(key="compare_swap").disabled
    table = next(f.value for f in page.dataframe if "median" in f.value.columns)
    assert table["samples"].tolist() == ["6", "6"]
    assert "sftlens map toy" in said  # clusters need a map


@pytest.mark.usefixtures("scored")
def test_another_run_is_compared_under_its_own_policy_and_this_budget():
    score("length")
    page = choose(open_page(SCRIPT), "Random")
    rival = here(page).rival
    assert (rival.method, rival.policy, rival.budget) == ("random", "top", "10%")
    said = text_of(page)
    assert "over 60 samples that both score" in said
    table = next(f.value for f in page.dataframe if "median" in f.value.columns)
    assert table[""].tolist() == ["A", "B", "random"]


@pytest.mark.usefixtures("scored")
def test_swap_changes_places_and_use_b_can_be_undone():
    score("length")
    page = choose(open_page(SCRIPT), "Random")
    a, b = here(page).recipe, here(page).rival
    page.button(key="compare_swap").click().run()
    assert (here(page).recipe, here(page).rival) == (b, a)
    page.button(key="compare_swap").click().run()
    page.button(key="compare_use").click().run()
    assert here(page).recipe == b
    assert "**0.00**" not in text_of(page)
    page.button(key="frame_undo").click().run()
    assert here(page).recipe == a


@pytest.mark.usefixtures("scored")
def test_a_saved_recipe_of_the_same_run_says_that_the_scores_are_the_same():
    page = open_page(SCRIPT)
    data_people.save_recipe("half *of* it", here(page).recipe.model_copy(update={"budget": "50%"}))
    page = choose(open_page(SCRIPT), "saved: half")
    said = text_of(page)
    assert "B keeps 24 that A does not, both keep 6" in said
    assert "A and B rank by the same scores" in said
    lists = [f.value for f in page.dataframe if "preview" in f.value.columns]
    assert [len(frame) for frame in lists] == [24]
    assert "None." in said


@pytest.mark.usefixtures("scored")
def test_a_recipe_that_can_no_longer_be_applied_is_told_and_random_stands_in():
    page = open_page(SCRIPT)
    gone = here(page).recipe.model_copy(update={"rules": (Range(column="gone", low=0),)})
    here(page).rival = gone
    page.run()
    assert not page.exception
    assert "A random draw stands in" in page.warning[0].value
    here(page).rival = gone.model_copy(update={"pool": "other"})
    page.run()
    assert here(page).rival is None


@pytest.mark.usefixtures("scored")
def test_a_recipe_that_keeps_nothing_has_a_reason_in_every_panel():
    page = open_page(SCRIPT)
    here(page).add_rule(Range(column="score", low=2))
    page.run()
    assert not page.exception
    said = text_of(page)
    assert "Neither keeps a sample" in said
    assert "One of the two keeps nothing" in said


def test_one_long_sample_with_markup_is_compared_as_text(tmp_path):
    write_pool(tmp_path, [{"instruction": EVIL, "output": "مرحبا " * 3000, "source": EVIL}])
    score()
    page = open_page(SCRIPT)
    here(page).change(budget="100%")
    page.run()
    assert not page.exception
    assert "both keep 1" in text_of(page)
    assert not [m for m in page.markdown if EVIL in m.value]


def test_charts_of_labels_show_markup_as_text_and_have_no_marks_without_numbers():
    gap = comparison.label_gap(np.zeros(4, int), 1, np.arange(4) < 2, np.arange(4) > 1)
    drawn = charts.shift([EVIL], gap, ["a"], LIGHT)
    assert "<script>" not in drawn.to_json().replace("\\u003c", "<")
    empty = comparison.label_gap(np.zeros(4, int), 1, np.zeros(4, bool), np.arange(4) > 1)
    assert charts.shift([EVIL], empty, ["a"], LIGHT) is None
    assert charts.lengths({"A": np.full(3, np.nan), "B": np.empty(0)}, LIGHT) is None
    assert charts.lengths({"A": np.array([5.0]), "B": np.array([5.0, 0.0])}, LIGHT) is not None
    nobody = comparison.overlap(np.zeros(4, bool), np.zeros(4, bool))
    assert charts.overlap(nobody, LIGHT) is None
    assert (
        charts.by_budget(*comparison.overlap_by_budget(*np.full((2, 4), np.nan)), 1, LIGHT) is None
    )


def test_a_recipe_that_came_with_the_session_is_offered_by_its_key(scored):
    page = open_page(SCRIPT)
    other = Recipe(pool="toy", method="random", run_id=scored.run_id, budget="7")
    here(page).rival = other
    page.run()
    assert page.selectbox(key="compare_rival").value == "linked"
    assert "B keeps 1 that A does not" in text_of(page)
