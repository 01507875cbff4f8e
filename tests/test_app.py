"""Every page without a browser: with no store, with a store without scores, and with scores."""

import json
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import config, pools, runs
from core.domain import RunSpec
from core.loaded import Loaded
from core.methods import build, catalogue
from core.methods.differential_entropy import DifferentialEntropy
from pages.ui.glossary import TERMS
from pages.ui.navigation import ENTRIES

SCRIPTS = [e.script for e in ENTRIES]
SHOWS_SCORES = [e.script for e in ENTRIES if e.title != "Runs"]


def open_page(script):
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=30).run()
    if script != "app.py":
        page.switch_page(script).run()
    assert not page.exception
    return page


def text_of(page):
    shown = [*page.markdown, *page.caption, *page.info, *page.code, *page.subheader, *page.text]
    return "\n".join(str(element.value) for element in shown)


def write_pool(folder, rows):
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "toy")


def rows(n=60):
    return [
        {"instruction": f"Say {i} words", "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i in range(n)
    ]


@pytest.fixture
def imported(tmp_path):
    write_pool(tmp_path, rows())


@pytest.fixture
def scored(imported):
    return runs.execute(RunSpec("toy", "differential_entropy", model="fake")).run


def test_every_page_but_the_story_is_in_the_navigation_once():
    found = sorted(
        p.relative_to(config.ROOT).as_posix() for p in (config.ROOT / "pages").glob("*.py")
    )
    assert sorted([*SCRIPTS, "pages/story.py"]) == sorted(["app.py", *found])


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_a_store_a_page_says_what_to_do(script):
    assert "sftlens import" in text_of(open_page(script))


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("script", SHOWS_SCORES)
def test_without_scores_a_page_says_how_to_get_them(script):
    assert "sftlens score toy differential_entropy" in text_of(open_page(script))


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("script", SHOWS_SCORES)
def test_with_scores_a_page_begins_with_the_question_and_what_is_kept(script):
    page = open_page(script)
    question = next(e.question for e in ENTRIES if e.script == script)
    assert page.caption[0].value in (question, "Explore")  # the sidebar's group may come first
    assert question in text_of(page)
    assert "**6** of 60 kept (10.0 %)" in text_of(page)


def test_runs_lists_pools_and_finished_runs(scored):
    page = open_page("pages/runs.py")
    assert page.dataframe[0].value["run"].tolist() == [scored.run_id[:8]]
    assert page.dataframe[1].value["pool"].tolist() == ["toy"]
    assert page.button(key="runs_start").label == "Start scoring"


@pytest.mark.usefixtures("scored")
def test_moving_the_trim_changes_the_counts_and_can_be_undone():
    page = open_page("pages/entropy.py")
    assert "12 of 60 samples set aside" in text_of(page)
    page.slider(key="entropy_trim").set_value((25, 75)).run()
    assert not page.exception
    assert "30 of 60 samples set aside" in text_of(page)
    page.button(key="frame_undo").click().run()
    assert "12 of 60 samples set aside" in text_of(page)
    page.button(key="frame_redo").click().run()
    assert "30 of 60 samples set aside" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_rule_becomes_a_chip_that_takes_it_away_again():
    page = open_page("pages/entropy.py")
    low, high = page.slider(key="entropy_drop_range").value
    page.slider(key="entropy_drop_range").set_value((low, low + (high - low) / 50)).run()
    assert not page.exception
    assert "**6** of 60 kept" not in text_of(page)
    page.button(key="frame_rule_entropy_drop").click().run()
    assert "**6** of 60 kept" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_rule_that_ends_at_zero_is_a_rule():
    page = open_page("pages/entropy.py")
    slider = page.slider(key="entropy_drop_range")
    low, high = slider.value
    assert low < 0 < high
    slider.set_value((0.0, high)).run()
    assert page.button(key="frame_rule_entropy_drop").label == "entropy drop ≥ 0"


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("ends", [(60, 90), (10, 30), (0, 0), (100, 100)])
def test_a_trim_past_the_middle_stops_short_of_it_and_leaves_a_way_back(ends):
    page = open_page("pages/entropy.py")
    page.slider(key="entropy_trim").set_value(ends).run()
    assert not page.exception
    assert not page.error
    page.button(key="frame_undo").click().run()
    assert "12 of 60 samples set aside" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_the_recipe_goes_along_to_the_next_page():
    page = open_page("pages/recipe.py")
    page.number_input(key="recipe_amount").set_value(50.0).run()
    assert "**30** of 60 kept" in text_of(page)
    page.switch_page("pages/export.py").run()
    assert "**30** of 60 kept" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_live_knob_reranks_without_a_model():
    page = open_page("pages/recipe.py")
    page.number_input(key="recipe_knob_trim_low").set_value(0.4).run()
    assert not page.exception
    assert page.button(key="frame_param_trim_low").label == "trim low 0.4"
    page.button(key="frame_param_trim_low").click().run()
    assert page.number_input(key="recipe_knob_trim_low").value == 0.1


@pytest.mark.usefixtures("scored")
def test_a_policy_and_its_parameters_are_part_of_the_recipe():
    page = open_page("pages/recipe.py")
    box = page.selectbox(key="recipe_policy")
    assert box.value == "top"
    assert "Queries in turns" not in box.options  # this method knows no queries
    box.set_value("random").run()
    assert not page.exception
    assert "**6** of 60 kept" in text_of(page)
    page.number_input(key="recipe_policy_random_seed").set_value(7).run()
    assert page.session_state["state"].recipe.policy_params == {"seed": 7}
    page.switch_page("pages/export.py").run()
    assert "--policy random --policy-set seed=7" in text_of(page)
    page.button(key="frame_undo").click().run()
    page.button(key="frame_undo").click().run()
    assert "--policy top" in text_of(page)


def scored_in_groups(monkeypatch):
    """The scores of the run, with three bands and three queries as other methods give them."""
    stored, made = Loaded.scores, DifferentialEntropy.score

    def grouped(scores):
        n = len(scores.value)
        near = np.cos(np.arange(n * 3)).reshape(n, 3).astype(np.float32)
        return replace(scores, group=np.arange(n) % 3, similarity=near)

    monkeypatch.setattr(Loaded, "scores", lambda self, params: grouped(stored(self, params)))
    monkeypatch.setattr(DifferentialEntropy, "score", lambda self, x: grouped(made(self, x)))


@pytest.mark.usefixtures("scored")
def test_a_parameter_that_a_policy_refuses_is_one_sentence_and_changes_nothing(monkeypatch):
    scored_in_groups(monkeypatch)
    page = open_page("pages/recipe.py")
    page.selectbox(key="recipe_policy").set_value("bands").run()
    page.text_input(key="recipe_policy_bands_bands").set_value("2 9").run()
    assert not page.exception
    assert "no sample is in this band" in page.warning[0].value
    assert page.text_input(key="recipe_policy_bands_bands").value == "all"
    page.text_input(key="recipe_policy_bands_bands").set_value("2 0").run()
    assert not page.warning
    assert page.session_state["state"].recipe.policy_params == {"bands": "2 0"}


@pytest.mark.usefixtures("scored")
def test_what_a_person_should_know_about_the_choice_is_shown(monkeypatch):
    scored_in_groups(monkeypatch)
    page = open_page("pages/recipe.py")
    page.selectbox(key="recipe_policy").set_value("knn_uniform").run()
    assert not page.exception
    assert page.warning[0].value.startswith("K hit its cap of 48 neighbours")
    for policy in ("round_robin", "water_filling", "quotas", "optimal_transport", "max_mean"):
        page.selectbox(key="recipe_policy").set_value(policy).run()
        assert not page.exception
        assert page.selectbox(key="recipe_policy").value == policy


@pytest.mark.usefixtures("scored")
def test_a_recipe_that_can_no_longer_be_applied_leaves_a_way_back(monkeypatch):
    scored_in_groups(monkeypatch)
    page = open_page("pages/recipe.py")
    page.selectbox(key="recipe_policy").set_value("bands").run()
    page.session_state["state"].change(policy_params={"bands": "5"})  # as if bands had changed
    page.run()
    assert not page.exception
    assert "no sample is in this band" in page.error[0].value
    page.button(key="frame_undo").click().run()
    assert not page.error
    assert "**6** of 60 kept" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_recipe_that_keeps_nothing_says_so():
    page = open_page("pages/entropy.py")
    low, _ = page.slider(key="entropy_drop_range").value
    page.slider(key="entropy_drop_range").set_value((low, low)).run()
    assert not page.exception
    page.switch_page("pages/export.py").run()
    assert not page.exception
    assert page.warning[0].value.startswith("The recipe keeps nothing")


@pytest.mark.usefixtures("scored")
def test_export_makes_the_files_and_shows_the_command():
    page = open_page("pages/export.py")
    page.button(key="export_make").click().run()
    assert not page.exception
    made = list((config.cache_dir() / "exports").rglob("subset.jsonl"))
    assert len(made) == 1
    assert len(made[0].read_text("utf8").splitlines()) == 6
    assert "sftlens select toy --method differential_entropy" in text_of(page)


def test_one_sample_and_markup_in_it_are_shown_as_text(tmp_path):
    evil = "<script>alert(1)</script> **bold** [x](http://a.example)"
    write_pool(tmp_path, [{"instruction": evil, "output": "مرحبا " * 400}])
    runs.execute(RunSpec("toy", "differential_entropy", model="fake"))
    for script in SCRIPTS:
        page = open_page(script)
        if script == "pages/entropy.py":
            assert evil in [t.value for t in page.text] or page.info
        assert evil not in [m.value for m in page.markdown]


def test_a_damaged_store_is_one_sentence_on_the_page():
    config.check_writable()
    config.store_path().write_bytes(b"not a database" * 200)
    page = open_page("app.py")
    assert "the store is damaged" in page.error[0].value


def test_every_term_has_a_sentence():
    assert all(text.endswith(".") for text in TERMS.values())


@pytest.mark.usefixtures("scored")
def test_the_run_shown_first_is_of_a_published_method_with_a_page():
    runs.execute(RunSpec("toy", "random", model="fake"))
    runs.execute(RunSpec("toy", "perplexity", model="fake"))
    page = open_page("app.py")
    assert "Differential entropy" in text_of(page)


@pytest.mark.usefixtures("imported")
def test_a_page_of_another_method_says_so_and_opens_the_run_it_can_show():
    other = runs.execute(RunSpec("toy", "random", model="fake")).run
    page = open_page("pages/entropy.py")
    assert "toy is not scored by differential entropy yet" in text_of(page)
    runs.execute(RunSpec("toy", "differential_entropy", model="fake"))
    page = open_page("app.py")
    box = page.selectbox(key="frame_run")
    box.select_index(next(i for i, o in enumerate(box.options) if other.run_id[:6] in o)).run()
    page.switch_page("pages/entropy.py").run()
    assert "The recipe ranks by **random**" in text_of(page)
    page.button(key="entropy_rank").click().run()
    assert not page.exception
    assert "samples set aside" in text_of(page)


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("method", [m for m, cls in catalogue().items() if cls.measures])
def test_every_method_can_be_looked_at_and_chosen_from(method, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(4)), "utf8")
    pools.import_files([path], "goal", "query")
    query = "goal" if build(method).needs_query() else ""
    runs.execute(RunSpec("toy", method, model="fake", query=query))
    for script in ("app.py", "pages/recipe.py", "pages/export.py"):
        page = open_page(script)
        assert not page.exception
        assert "of 60 kept" in text_of(page)
    page = open_page("pages/recipe.py")
    knobs = [w.key for w in page.number_input if str(w.key).startswith("recipe_knob_")]
    for key in knobs[:1]:
        widget = page.number_input(key=key)
        widget.set_value(widget.min if widget.value != widget.min else widget.max).run()
        assert not page.exception


def test_a_choice_of_pool_at_the_left_is_taken(scored, tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(20)), "utf8")
    pools.import_files([path], "other")
    runs.execute(RunSpec("other", "random", model="fake"))
    page = open_page("app.py")
    for pool, n in (("other", 20), ("toy", 60), ("other", 20)):
        page.selectbox(key="frame_pool").select(pool).run()
        assert not page.exception
        assert f"**{pool}** holds {n} samples" in text_of(page)
