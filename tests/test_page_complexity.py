"""The Complexity page without a browser, on the fake engine."""

import re

import numpy as np
import pytest
from test_app import open_page, rows, text_of, write_pool

from core import runs
from core.domain import RunSpec
from core.rules import Range
from pages.ui import answer_panels, answers

SCRIPT = "pages/complexity.py"


def questions(n=40, text="Which of them is {}?", **more):
    return [
        {"question": text.format(i), "options": ["a", "b", "c", "d"], "answer": "ABCD"[i % 4]}
        | more
        for i in range(n)
    ]


def score(method="answer_entropy", **params):
    return runs.execute(RunSpec("toy", method, params, model="fake")).run


@pytest.fixture
def scored(tmp_path):
    write_pool(tmp_path, [*questions(), *rows(12)])
    return score()


def recipe(page):
    return page.session_state["state"].recipe


def bands_of(page):
    return next(d.value for d in page.dataframe if "band" in d.value)


def test_the_page_says_how_many_are_right_and_whether_entropy_knows(scored):
    page = open_page(SCRIPT)
    text = text_of(page)
    hits, n = map(int, re.search(r"answers \*\*(\d+) of (\d+)\*\* questions right", text).groups())
    assert n == 40
    assert 0 < hits < n
    assert "of pairs (95 % interval" in text
    assert "could not be drawn" not in text
    table = bands_of(page)
    assert table["band"].tolist() == ["easy", "middle", "hard"]
    assert table["questions"].tolist() == [10, 20, 10]
    assert table["kept"].sum() == int(re.search(r"\*\*(\d+)\*\* of 52 kept", text)[1])


def test_the_share_of_tokens_saved_is_that_of_the_other_bands(scored):
    page = open_page(SCRIPT)
    tokens = bands_of(page)["tokens"]
    share = 100 * tokens[:-1].sum() / tokens.sum()
    assert f"**{share:.1f} % of the teacher's tokens saved.**" in text_of(page)


def test_moving_the_bounds_moves_the_bands_and_can_be_undone(scored):
    page = open_page(SCRIPT)
    page.slider(key="complexity_bands").set_value((50, 90)).run()
    assert not page.exception
    assert recipe(page).params == {"low": 0.5, "high": 0.9}
    assert bands_of(page)["questions"].tolist() == [20, 16, 4]
    page.button(key="frame_undo").click().run()
    assert bands_of(page)["questions"].tolist() == [10, 20, 10]


@pytest.mark.parametrize("ends", [(0, 0), (100, 100), (0, 100), (40, 40)])
def test_bounds_at_any_place_leave_a_page(scored, ends):
    page = open_page(SCRIPT)
    page.slider(key="complexity_bands").set_value(ends).run()
    assert not page.exception
    assert not page.error
    assert bands_of(page)["questions"].sum() == 40
    assert "could not be drawn" not in text_of(page)


def test_a_range_of_the_entropy_is_a_rule(scored):
    page = open_page(SCRIPT)
    slider = page.slider(key="complexity_range")
    low, high = slider.value
    slider.set_value(((low + high) / 2, high)).run()
    assert not page.exception
    rule = recipe(page).rules[0]
    assert (rule.column, rule.run, rule.high) == ("score", "", None)
    assert "of 52 samples pass on answer entropy" in text_of(page)


def test_a_click_on_the_curve_keeps_what_lies_above_its_threshold(scored, monkeypatch):
    clicks, here = {}, type("Here", (), {"rules": [], "add_rule": lambda s, r: s.rules.append(r)})()
    monkeypatch.setattr(
        answer_panels, "chart", lambda *a, on_click, **k: clicks.update(it=on_click)
    )
    monkeypatch.setattr(answer_panels, "state", lambda: here)
    monkeypatch.setattr(answer_panels.thresholds, "run_of", lambda shown: "")
    empty = np.array([np.nan])
    found = type("Found", (), {"right": empty, "auc": np.nan})()
    answer_panels.roc(None, found)
    clicks["it"]([1.25])
    clicks["it"](-1.0)  # the point above every entropy
    assert here.rules == [Range(column="score", low=1.25)]


def test_a_recipe_of_another_method_makes_rules_that_name_this_run(scored):
    other = score("random")
    page = open_page("app.py")
    box = page.selectbox(key="frame_run")
    box.select_index(next(i for i, o in enumerate(box.options) if other.run_id[:6] in o)).run()
    page.switch_page(SCRIPT).run()
    assert "The recipe ranks by **random**" in text_of(page)
    assert not [s for s in page.slider if s.key == "complexity_bands"]
    low, high = page.slider(key="complexity_range").value
    page.slider(key="complexity_range").set_value((low, (low + high) / 2)).run()
    assert not page.exception
    assert recipe(page).rules[0].run == scored.run_id
    page.button(key="complexity_rank").click().run()
    assert not page.exception
    assert recipe(page).rules[0].run == ""
    assert recipe(page).policy == "bands"


def test_a_pool_without_questions_says_why_and_what_would_be_one(tmp_path):
    write_pool(tmp_path, rows())
    score()
    page = open_page(SCRIPT)
    assert "No question to look at" in text_of(page)
    reasons = next(d.value for d in page.dataframe if "reason" in d.value)
    assert reasons.to_dict("list") == {"reason": ["not multiple choice"], "samples": [60]}
    assert "sftlens import questions.jsonl" in text_of(page)


def test_a_pool_without_this_method_says_how_to_score_it(tmp_path):
    write_pool(tmp_path, questions())
    score("random")
    assert "sftlens score toy answer_entropy" in text_of(open_page(SCRIPT))


def test_a_recipe_that_keeps_nothing_still_shows_the_questions(scored):
    page = open_page(SCRIPT)
    page.session_state["state"].add_rule(Range(column="n_tokens", low=1e9))
    page.run()
    assert not page.exception
    assert bands_of(page)["kept"].sum() == 0
    assert "could not be drawn" not in text_of(page)


def test_one_question_with_markup_and_another_script_is_shown_as_text(tmp_path):
    evil = "<script>alert(1)</script> **bold** مرحبا " + "long " * 3000
    write_pool(tmp_path, questions(1, evil))
    score()
    page = open_page(SCRIPT)
    assert "nothing that entropy could tell apart" in text_of(page)
    assert "A curve needs right and wrong answers" in text_of(page)
    assert "could not be drawn" not in text_of(page)
    assert not [m for m in page.markdown if "<script>" in m.value]


@pytest.mark.parametrize(
    "params", [{"cuts": "absolute"}, {"cuts": "chunks"}, {"applies_to": "all"}]
)
def test_every_way_to_cut_bands_has_a_page(tmp_path, params):
    write_pool(tmp_path, [*questions(), *rows(12)])
    score(**params)
    page = open_page(SCRIPT)
    assert "could not be drawn" not in text_of(page)
    sliders = [s.key for s in page.slider]
    assert ("complexity_bands" in sliders) == (params.get("cuts") != "chunks")
    assert len(bands_of(page)) == (6 if params.get("cuts") == "chunks" else 3)


@pytest.mark.parametrize(
    ("ends", "said"),
    [((0.6, 0.8), "knows what is hard"), ((0.2, 0.4), "the wrong way"), ((0.4, 0.6), "chance.")],
)
def test_the_verdict_follows_the_interval(ends, said):
    interval = type("Band", (), {"auc": ends})()
    found = type("Found", (), {"auc": sum(ends) / 2, "interval": interval})()
    assert answers._verdict(found).endswith(f"{said}" if said[-1] == "." else f"{said}.")
