"""The Story without a browser: five locked steps on a snapshot that nothing changes."""

import numpy as np
import pytest
from calls import jsonl
from streamlit.testing.v1 import AppTest

from core import config, pools, runs, store
from core.domain import RunSpec
from core.links import pack, unpack
from core.maps import build_map
from core.methods import build, catalogue
from core.recipe import Recipe
from core.rules import Range
from core.selection import select
from core.store import maps
from pages.ui.state import State

EVIL = "<script>alert(1)</script> **bold** [a](javascript:alert(2)) :red[x] $y$ `|`"
TITLES = ("We keep", "They c", "Near neighbours", "How much should we keep?", "")


def rows(n=40):
    return [
        {"instruction": f"Say {i} words", "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i in range(n)
    ]


def scored(tmp_path, records, method="differential_entropy"):
    pools.import_files([jsonl(tmp_path / "pool.jsonl", records)], "toy")
    query = ""
    if build(method).needs_query():
        pools.import_files([jsonl(tmp_path / "query.jsonl", rows(3))], "goal", "query")
        query = "goal"
    run = runs.execute(RunSpec("toy", method, model="fake", query=query)).run
    return Recipe(pool="toy", method=method, run_id=run.run_id, budget="25%")


def mapped(recipe):
    """A map of the pool made from chance vectors: neighbours and places, no model."""
    with store.connect() as con:
        pool = store.pools.get_pool(con, recipe.pool)
    n = len(pool.sample_ids)
    vectors = np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    texts = [f"topic {i % 4} words" for i in range(n)]
    made = build_map(list(pool.sample_ids), texts, vectors, np.ones(n, bool), 1)
    row = maps.StoredMap(
        "a" * 20, pool.name, pool.fingerprint, "instructions", 1, {}, made.labels, "", n, 1.0
    )
    with store.connect(write=True) as con:
        maps.add_map(con, row, pool.sample_ids, made)


def story():
    """The page, not drawn yet."""
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=60)
    return page.switch_page("pages/story.py")


def open_story(recipe=None, step=None):
    page = story()
    if recipe is not None:
        page.query_params["recipe"] = recipe if isinstance(recipe, str) else pack(recipe)
    if step is not None:
        page.query_params["step"] = str(step)
    page.run()
    assert not page.exception
    return page


def text_of(page):
    shown = [*page.title, *page.markdown, *page.caption, *page.info, *page.subheader, *page.error]
    return "\n".join(str(element.value) for element in [*shown, *page.text])


def test_the_steps_follow_in_their_order_and_back(tmp_path):
    page = open_story(scored(tmp_path, rows()))
    for at, title in enumerate(TITLES, 1):
        assert page.title[0].value.startswith(title)
        assert f"{at} of 5" in text_of(page)
        if at < 5:
            page.button(key="story_next").click().run()
            assert not page.exception
    assert not [b for b in page.button if b.key == "story_next"]
    assert "chance" in page.title[0].value.lower()
    (leave,) = page.get("page_link")
    assert leave.proto.query_string == f"recipe={page.query_params['recipe']}"
    for title in TITLES[3::-1]:
        page.button(key="story_back").click().run()
        assert page.title[0].value.startswith(title)
    assert page.button(key="story_back").disabled


def test_there_is_no_sidebar_and_nothing_to_change_the_recipe(tmp_path):
    recipe = scored(tmp_path, rows())
    for step in range(1, 6):
        page = open_story(recipe, step)
        assert not page.sidebar.children
        assert {b.key for b in page.button} <= {"story_back", "story_next"}
        assert "state" not in page.session_state or page.session_state["state"].recipe is None


@pytest.mark.parametrize(("step", "at"), [("3", 3), ("0", 1), ("99", 5), ("x", 1), ("²", 1)])
def test_a_link_opens_at_its_step(tmp_path, step, at):
    assert f"{at} of 5" in text_of(open_story(scored(tmp_path, rows()), step))


def test_the_first_step_says_what_the_recipe_keeps(tmp_path):
    recipe = scored(tmp_path, rows())
    page = open_story(recipe)
    kept = len(select(recipe).subset.chosen)
    assert page.title[0].value == f"We keep :primary[{kept}] of 40 samples."
    assert "differential entropy" in text_of(page)


def test_a_snapshot_outlives_what_the_session_does_afterwards(tmp_path):
    recipe = scored(tmp_path, rows())
    page = open_story()
    taken = page.query_params["recipe"]
    first = page.title[0].value
    assert unpack(taken).run_id == recipe.run_id
    page.session_state["state"] = State(
        pool="toy", recipe=recipe.model_copy(update={"budget": "3"})
    )
    page.run()
    assert page.title[0].value == first


def test_without_a_link_the_story_is_of_the_sessions_recipe(tmp_path):
    recipe = scored(tmp_path, rows()).model_copy(update={"budget": "7"})
    page = story()
    page.session_state["state"] = State(pool="toy", recipe=recipe)
    page.run()
    assert page.title[0].value == "We keep :primary[7] of 40 samples."


def test_the_slider_moves_the_story_and_not_the_snapshot(tmp_path):
    recipe = scored(tmp_path, rows())
    page = open_story(recipe, 4)
    assert page.subheader[0].value.startswith(":primary[10] samples.")
    page.select_slider(key="story_share").set_value(50.0).run()
    assert not page.exception
    assert page.subheader[0].value.startswith(":primary[20] samples.")
    page.button(key="story_back").click().run()
    for _ in range(2):
        page.button(key="story_back").click().run()
    assert page.title[0].value == "We keep :primary[10] of 40 samples."


def test_pairs_are_neighbours_on_either_side_with_their_reasons(tmp_path):
    recipe = scored(tmp_path, rows())
    mapped(recipe)
    page = open_story(recipe, 3)
    badges = [m.value for m in page.markdown if "badge" in m.value]
    assert [("kept" in b, "dropped" in b) for b in badges] == [(True, False), (False, True)] * 2
    said = text_of(page)
    assert "kept; rank" in said
    assert "ranked below" in said or "not scored" in said
    assert len([c for c in page.caption if "alike (cosine)" in c.value]) == 2
    page = open_story(recipe, 2)
    assert page.title[0].value.startswith("They cover ")


def test_without_a_map_words_stand_in_its_place(tmp_path):
    recipe = scored(tmp_path, rows())
    assert "sources." in open_story(recipe, 2).title[0].value
    assert "`sftlens map toy`" in text_of(open_story(recipe, 3))


@pytest.mark.parametrize("step", range(1, 6))
def test_nothing_kept_has_a_story_too(tmp_path, step):
    recipe = scored(tmp_path, rows())
    mapped(recipe)
    page = open_story(
        recipe.model_copy(update={"rules": (Range(column="n_tokens", low=1e9),)}), step
    )
    if step == 1:
        assert ":primary[0]" in page.title[0].value
    if step == 5:
        assert "nothing to compare" in page.title[0].value


@pytest.mark.parametrize("step", range(1, 6))
def test_one_sample_has_a_story(tmp_path, step):
    recipe = scored(tmp_path, rows(1), "length")
    open_story(recipe.model_copy(update={"budget": "1"}), step)


@pytest.mark.parametrize("method", [m for m, cls in catalogue().items() if cls.measures])
def test_any_single_score_has_a_story(tmp_path, method):
    recipe = scored(tmp_path, rows(30), method)
    for step in (1, 3, 4, 5):
        open_story(recipe, step)


def test_text_of_any_kind_is_shown_as_it_is_written(tmp_path):
    odd = [
        *rows(12),
        {"instruction": EVIL, "output": EVIL, "source": EVIL},
        {"instruction": "ترجم: صباح الخير", "output": "בוקר טוב", "source": "عربي"},
        {"instruction": "long " * 9000, "output": "word " * 9000, "source": "long"},
    ]
    recipe = scored(tmp_path, odd, "length").model_copy(update={"budget": "50%"})
    mapped(recipe)
    for step in range(1, 6):
        page = open_story(recipe, step)
        assert "**bold** [a](javascript" not in "\n".join(
            str(e.value) for e in [*page.markdown, *page.title, *page.caption, *page.subheader]
        )
        assert all(len(t.value) <= 300 for t in page.text)


@pytest.mark.parametrize("text", ["x", "!!", "e" * 30_000, "eNo=", "ünï"])
def test_a_link_that_holds_no_recipe_is_one_sentence(tmp_path, text):
    scored(tmp_path, rows())
    page = open_story(text)
    assert len(page.error) == 1
    assert page.error[0].value.startswith("link: ")
    assert not page.title


def test_a_recipe_of_another_store_is_one_sentence(tmp_path):
    recipe = scored(tmp_path, rows()).model_copy(update={"run_id": "0" * 20})
    page = open_story(recipe)
    assert "this run is not in the store" in page.error[0].value


@pytest.mark.parametrize("imported", [False, True])
def test_without_scores_there_is_a_way_on(tmp_path, imported):
    if imported:
        pools.import_files([jsonl(tmp_path / "pool.jsonl", rows())], "toy")
    page = open_story()
    assert page.subheader[0].value == "There is no story to tell yet"
    assert [e.proto.label for e in page.get("page_link")] == ["Open SFTLens"]


def test_a_published_method_is_told_before_a_baseline(tmp_path):
    recipe = scored(tmp_path, rows())
    runs.execute(RunSpec("toy", "random", model="fake"))
    page = open_story()
    assert "differential entropy" in text_of(page)
    taken = page.query_params["recipe"]
    assert unpack(taken).method == recipe.method
