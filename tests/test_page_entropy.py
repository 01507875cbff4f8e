"""The Entropy page without a browser, on the fake engine; and thresholds, which all pages share."""

import numpy as np
import pytest
from test_app import open_page, rows, text_of, write_pool

from core import runs
from core.domain import RunSpec
from core.rules import Range
from pages.ui import entropies, ranking, thresholds, trim

SCRIPT = "pages/entropy.py"


def score(method="differential_entropy", **params):
    return runs.execute(RunSpec("toy", method, params, model="fake")).run


@pytest.fixture
def scored(tmp_path):
    write_pool(tmp_path, rows())
    return score()


class Here:
    """A session's state, as far as rules and knobs go."""

    def __init__(self, run_id="0" * 20):
        self.recipe = type("R", (), {"run_id": run_id, "rules": (), "params": {}})()

    def change(self, **fields):
        for name, value in fields.items():
            setattr(self.recipe, name, value)


def recipe(page):
    return page.session_state["state"].recipe


def other_first(page, run):
    box = page.selectbox(key="frame_run")
    box.select_index(next(i for i, o in enumerate(box.options) if run.run_id[:6] in o)).run()


def test_a_box_on_the_plane_is_two_rules_and_one_change(scored, monkeypatch):
    page = open_page(SCRIPT)
    here = page.session_state["state"]
    monkeypatch.setattr(thresholds, "state", lambda: here)
    entropies.keep_box("", 0.123456789, 2.5, -0.1, 1.5)
    page.run()
    assert not page.exception
    assert recipe(page).rules == (
        Range(column="base_entropy", low=0.12346, high=2.5),
        Range(column="calibrated_entropy", low=-0.1, high=1.5),
    )
    page.button(key="frame_undo").click().run()
    assert recipe(page).rules == ()


def test_a_drag_over_the_nll_drop_sets_aside_what_lies_outside(scored, monkeypatch):
    page = open_page(SCRIPT)
    here = page.session_state["state"]
    monkeypatch.setattr(trim, "state", lambda: here)
    from core.selection import select

    found = select(here.recipe)
    drop = np.sort(found.columns["nll_drop"])
    trim.keep_between(found, drop[15] - 1e-9, drop[44] + 1e-9)  # a quarter at either end
    page.run()
    assert recipe(page).params == {"trim_low": 0.25, "trim_high": 0.25}
    assert page.slider(key="entropy_trim").value == (25, 75)
    assert "30 of 60 samples set aside" in text_of(page)


def test_another_run_ranks_and_the_page_makes_rules_that_name_its_own(scored):
    other = score("random")
    page = open_page("app.py")
    other_first(page, other)
    page.switch_page(SCRIPT).run()
    assert "The recipe ranks by **random**" in text_of(page)
    assert not [s for s in page.slider if s.key == "entropy_trim"]
    low, high = page.slider(key="entropy_nll_range").value
    page.slider(key="entropy_nll_range").set_value((low, (low + high) / 2)).run()
    assert not page.exception
    rule = recipe(page).rules[0]
    assert (rule.column, rule.run) == ("nll_drop", scored.run_id)
    page.button(key="entropy_rank").click().run()
    assert not page.exception
    assert recipe(page).rules == (rule.model_copy(update={"run": ""}),)


def test_a_rule_on_the_nll_drop_is_a_line_beside_the_tails(scored):
    page = open_page(SCRIPT)
    page.session_state["state"].add_rule(Range(column="nll_drop", low=-9.0))
    page.run()
    assert not page.exception
    assert "could not be drawn" not in text_of(page)


def test_a_recipe_that_keeps_nothing_still_draws_everything(scored):
    page = open_page(SCRIPT)
    page.session_state["state"].add_rule(Range(column="n_tokens", low=1e9))
    page.run()
    assert not page.exception
    assert "**0** of 60 kept" in text_of(page)
    assert "could not be drawn" not in text_of(page)


def test_one_sample_in_another_script_and_with_markup_is_shown_as_text(tmp_path):
    evil = "<img src=x onerror=alert(1)> **bold** [x](http://a.example)"
    write_pool(tmp_path, [{"instruction": evil, "output": "مرحبا " * 2000}])
    score()
    page = open_page(SCRIPT)
    assert "could not be drawn" not in text_of(page)
    assert evil not in [m.value for m in page.markdown]


def test_the_table_by_source_adds_up(scored):
    page = open_page(SCRIPT)
    table = next(d.value for d in page.dataframe if "share" in d.value)
    assert table["source"].tolist() == ["s0", "s1", "s2"]
    assert (table["samples"].sum(), table["kept"].sum()) == (60, 6)
    assert np.isfinite(table["nll_drop"]).all()


def test_a_slider_covers_its_column_in_round_steps():
    for low, high in ((0.0, 1.0), (-3.37, 2.18), (1, 20_000), (1e-7, 3e-7)):
        step, first, last = thresholds._scale(low, high)
        assert first <= low
        assert last >= high
        assert last - first <= (high - low) + 2.001 * step
        assert 100 < (last - first) / step < 420


def test_rules_go_into_their_slots_at_once(monkeypatch):
    here = Here()
    here.recipe.rules = (Range(column="a", low=1), Range(column="b", low=2))
    monkeypatch.setattr(thresholds, "state", lambda: here)
    thresholds.add_rules(Range(column="a", low=5), Range(column="c", high=0))
    assert [str(rule) for rule in here.recipe.rules] == ["a ≥ 5", "b ≥ 2", "c ≤ 0"]


def test_a_column_of_another_run_has_a_rule_of_its_own(monkeypatch):
    here, other = Here(), "a" * 20
    here.recipe.rules = (Range(column="a", low=1), Range(column="a", run=other, high=3))
    monkeypatch.setattr(thresholds, "state", lambda: here)
    assert thresholds.ends(thresholds.rule_of("a")) == [1]
    assert thresholds.ends(thresholds.rule_of("a", other)) == [3]
    assert thresholds.ends(thresholds.rule_of("b")) == []


def test_rules_follow_a_change_of_the_run():
    from core.rules import Among, Search

    old, new = "a" * 20, "b" * 20
    carried = {
        Range(column="score", low=1): Range(column="score", low=1, run=old),
        Range(column="score", low=1, run=new): Range(column="score", low=1),
        Range(column="score", low=1, run="c" * 20): Range(column="score", low=1, run="c" * 20),
        Range(column="n_turns", low=1): Range(column="n_turns", low=1),
        Range(column="meta.year", low=1): Range(column="meta.year", low=1),
        Among(column="source", values=("x",)): Among(column="source", values=("x",)),
        Among(column="group", values=("1",)): None,
        Search(text="x"): Search(text="x"),
    }
    for rule, wanted in carried.items():
        assert ranking._carried(rule, old, new) == wanted
