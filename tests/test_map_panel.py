"""A map on a page, without a browser: what is drawn, and what follows what a person does."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_store_maps import ID, row, small_map

from core import pools, runs, store
from core.domain import RunSpec
from core.maps import Map
from core.rules import Lasso, Range
from core.store import maps as stored
from pages.ui.map_plain import corners

N = 40
BOX = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


@pytest.fixture
def scored(tmp_path):
    path = tmp_path / "pool.jsonl"
    asks = ["<img src=x onerror=alert(1)>\n**bold** $x$", "ترجم: صباح الخير", "word " * 5000]
    asks += [f"Count to {i}" for i in range(len(asks), N)]
    rows = [
        {"instruction": ask, "output": f"{i} ok " * (1 + i % 5), "source": f"s{i % 12}"}
        for i, ask in enumerate(asks)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pool = pools.import_files([path], "toy")[1]
    runs.execute(RunSpec("toy", "differential_entropy", model="fake"))
    return pool


@pytest.fixture
def mapped(scored):
    add_map(scored)


def add_map(pool, places=True):
    made = small_map(N)
    if not places:
        nowhere = np.full((N, 2), np.nan, np.float32)
        made = Map(nowhere, made.cluster, (), made.neighbours, made.cosines, made.duplicates, "")
    about = row(ID, "toy", N)
    with store.connect(write=True) as con:
        stored.add_map(con, about, pool.sample_ids, made)


def panel():
    import streamlit as st

    from core.recipe import Recipe
    from pages.ui import data
    from pages.ui.map_panel import colour_choice, map_panel
    from pages.ui.state import state

    if state().recipe is None:
        run = data.scored("toy")["run_id"].iloc[0]
        method = "differential_entropy"
        state().begin(Recipe(pool="toy", method=method, run_id=run, budget="25%"))
    selection = data.select(state().recipe)
    name, values, kind = colour_choice(selection, "test")
    map_panel(selection, "instructions", name, values, "test", kind=kind)
    st.text(f"kept {len(selection.subset.chosen)}")


def said():
    """Does what a browser says in the query, as the map of `panel` would."""
    import json

    import streamlit as st

    from core.recipe import Recipe
    from pages.ui import data, data_map, map_panel, point_map
    from pages.ui.state import state

    run = data.scored("toy")["run_id"].iloc[0]
    if state().recipe is None:
        method = "differential_entropy"
        state().begin(Recipe(pool="toy", method=method, run_id=run, budget="25%"))
    selection = data.select(state().recipe)
    found = data_map.drawn("toy", "instructions")
    colours = data_map.numbers(selection.columns["score"], found.points.n, "sequence")
    acts = map_panel._acts(selection, found, "score")
    st.session_state["heard"] = json.loads(st.query_params["said"])
    for hear in point_map._hearers(found.points, colours, acts, "heard").values():
        hear()
    st.session_state["ends"] = (colours.low, colours.high)
    st.text(acts.text(int(st.query_params.get("row", "0"))))


def opened(script=panel, **query):
    page = AppTest.from_function(script, default_timeout=30)
    page.query_params.update(query)
    page.run()
    assert not page.exception
    return page


def told(**words):
    return opened(said, said=json.dumps(words))


def rules(page):
    return page.session_state["state"].recipe.rules


def parts(page):
    """The keys of what the browser is sent, and the words among it."""
    keys, words = {}, {}
    for sent in (element.proto.bytes for element in page.get("bidi_component")):
        if sent:
            end = 4 + int.from_bytes(sent[:4], "little")
            head = json.loads(sent[4:end])
            keys[head["role"]] = head["key"]
            words = json.loads(sent[end:]) if head["role"] == "words" else words
    return keys, words


@pytest.mark.usefixtures("scored")
def test_without_a_map_the_panel_says_which_command_makes_it():
    page = opened()
    assert page.code[0].value == "sftlens map toy"
    assert not page.get("bidi_component")


def test_when_the_pool_has_grown_the_panel_says_to_map_it_again(mapped, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text('{"instruction": "One more", "output": "yes"}\n')
    pools.import_files([more], "toy")
    runs.execute(RunSpec("toy", "differential_entropy", model="fake"))
    page = opened()
    assert any("has changed since" in text.value for text in page.markdown)


def test_a_map_without_any_place_says_so(scored):
    add_map(scored, places=False)
    page = opened()
    assert "No sample has a place" in page.info[0].value


@pytest.mark.usefixtures("mapped")
def test_all_that_belongs_together_is_named_by_its_content():
    page = opened()
    keys, words = parts(page)
    assert keys == words["parts"] | {"words": keys["words"]}
    assert (words["n"], words["placed"]) == (N, N - 1)
    assert [label["text"] for label in words["labels"]] == ["sea, tea"]
    page.session_state["state"].change(budget="50%")
    page.run()
    changed, _ = parts(page)
    assert {role for role in keys if keys[role] != changed[role]} == {"kept", "words"}


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("colour", ["score", "entropy_drop", "n_tokens", "source", "cluster"])
def test_every_column_can_be_the_colour(colour):
    page = opened()
    page.selectbox(key="test_colour").set_value(colour).run()
    assert not page.exception
    colouring = parts(page)[1]["colouring"]
    assert colouring["title"] == colour.replace("_", " ")
    if colour == "source":
        assert colouring["names"][-1] == "other"
        assert len(colouring["names"]) == 8
    if colour == "cluster":
        assert colouring["names"] == ["sea, tea"]
    assert (colouring["range"] is None) == (colour in ("source", "cluster"))


@pytest.mark.usefixtures("mapped")
def test_a_lasso_becomes_a_rule_and_a_second_one_beside_it_drops():
    page = told(outline={"outline": BOX, "keep": True})
    (rule,) = rules(page)
    assert isinstance(rule, Lasso)
    assert (rule.map_id, rule.keep, len(rule.polygon)) == (ID, True, 4)
    page.query_params["said"] = json.dumps({"outline": {"outline": BOX[:3], "keep": False}})
    page.run()
    assert [(len(r.polygon), r.keep) for r in rules(page)] == [(4, True), (3, False)]


@pytest.mark.usefixtures("mapped")
def test_a_click_opens_the_sample_of_its_row():
    page = told(opened=7)
    here = page.session_state["state"]
    with store.connect() as con:
        wanted = con.execute(f"SELECT sample_id FROM map_{ID} WHERE position = 7").fetchone()[0]
    assert here.sample == wanted


@pytest.mark.usefixtures("mapped")
def test_the_handles_of_the_legend_set_and_take_away_a_range():
    page = told(range=[0.25, 1])
    low, high = page.session_state["ends"]
    (rule,) = rules(page)
    assert isinstance(rule, Range)
    assert (rule.column, rule.run, rule.high) == ("score", "", None)
    assert rule.low == pytest.approx(low + 0.25 * (high - low), rel=1e-4)
    page.query_params["said"] = json.dumps({"range": [0, 1]})
    page.run()
    assert rules(page) == ()


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize(
    "words",
    [
        {},
        {"outline": 3, "opened": "1", "webgl": "no"},
        {"outline": {"outline": "all"}, "opened": -1},
        {"outline": {"outline": [[0, 0], [1, 1]]}, "opened": 10**9},
        {"outline": {"outline": [[0, 0], [None, 1], [1, 1]]}, "opened": 1.5},
        {"outline": {}, "opened": [1], "range": None},
        {"outline": {"outline": [[0, 0], [1, {}], [1, 1]]}, "range": ["a", 1]},
    ],
)
def test_what_a_browser_should_not_say_changes_nothing(words):
    page = told(**words)
    assert rules(page) == ()
    assert page.session_state["state"].sample is None
    assert page.session_state["heard_no_webgl"] is False


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize(
    ("at", "begins"), [(0, "<img src=x onerror=alert(1)>"), (1, "ترجم"), (2, "word word")]
)
def test_the_text_of_a_row_is_its_first_line_as_text(at, begins):
    page = opened(said, said="{}", row=str(at))
    assert page.text[0].value.startswith(begins)
    assert "\n" not in page.text[0].value
    assert len(page.text[0].value) < 1000


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("by", ["query", "browser"])
def test_without_webgl_a_density_takes_its_place(by):
    page = opened(map="plain") if by == "query" else opened()
    if by == "browser":
        page.session_state["test_map_no_webgl"] = True
        page.run()
    assert not page.exception
    assert not page.get("bidi_component")
    assert page.get("plotly_chart")
    assert any("without WebGL" in text.value for text in page.caption)


def test_a_box_and_a_lasso_have_corners():
    assert corners({"x": [0, 2], "y": [1, 3]}) == [(0, 1), (2, 1), (2, 3), (0, 3)]
    assert corners({"x": [0, 2, 1], "y": [1, 3, 2]}) == [(0, 1), (2, 3), (1, 2)]
