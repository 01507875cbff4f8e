"""The address says the whole state: a second session that opens it sees the same."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from core import config, pools, runs, store
from core.domain import RunSpec
from core.links import pack, unpack
from core.recipe import Pin, Recipe
from core.rules import Range, Search
from core.store import recipes

TEXT = "<b>x</b> **y** :red[z] $a$"


def opened(**query: str) -> AppTest:
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=60)
    for name, text in query.items():
        page.query_params[name] = text
    page.run()
    assert not page.exception
    return page


def address(page: AppTest) -> str:
    found = page.query_params["recipe"]
    return found if isinstance(found, str) else found[0]


def said(page: AppTest) -> str:
    return " ".join(m.value for m in page.markdown)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Count to {i}", "output": "one " * (1 + i % 5)} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "toy")
    run = runs.execute(RunSpec("toy", "differential_entropy", model="fake")).run
    return Recipe(pool="toy", method=run.method, run_id=run.run_id)


def sample_ids(recipe: Recipe) -> tuple[str, ...]:
    with store.connect() as con:
        return store.pools.get_pool(con, recipe.pool).sample_ids


def test_the_address_follows_the_recipe_and_opens_it_elsewhere(recipe):
    page = opened()
    assert unpack(address(page)).key == recipe.key
    ids = sample_ids(recipe)
    changed = recipe.model_copy(
        update={
            "budget": "7",
            "rules": (Range(column="n_tokens", low=2), Search(text=TEXT, keep=False)),
            "pins": (Pin(sample_id=ids[3], keep=True),),
        }
    )
    other = opened(recipe=pack(changed), sample=ids[5])
    assert "**7** of 40 kept" in said(other)
    assert other.session_state["state"].sample == ids[5]
    assert other.session_state["state"].recipe == changed
    chips = [b.label for b in other.button if str(b.key).startswith("frame_rule_")]
    assert chips[0] == "n tokens ≥ 2"
    assert "**y**" not in chips[1]  # markup of a search text does not act
    assert "<b>" not in chips[1]
    other.button(key="frame_rule_n_tokens").click().run()
    assert unpack(address(other)).rules == changed.rules[1:]


def test_a_change_is_not_undone_by_an_address_that_comes_back_late(recipe):
    page = opened()
    first = address(page)
    page.session_state["state"].change(budget="5")
    page.run()
    assert address(page) != first
    page.query_params["recipe"] = first  # what a browser sends that has not heard yet
    page.run()
    assert "**5** of 40 kept" in said(page)


@pytest.mark.parametrize("text", ["x", "AAAA", "%00", "A" * 30_000])
def test_an_address_that_says_nonsense_is_one_sentence_and_the_page_is_drawn(recipe, text):
    page = opened(recipe=text, sample="nonsense")
    assert page.warning[0].value.startswith("link: ")
    assert "**4** of 40 kept" in said(page)


def test_a_link_to_scores_that_are_not_here_says_so(recipe):
    gone = recipe.model_copy(update={"run_id": "0" * 20})
    page = opened(recipe=pack(gone))
    assert "its scores are not in this store" in page.warning[0].value


def test_undo_and_redo_walk_through_every_kind_of_change(recipe):
    page = opened()
    here = page.session_state["state"]
    ids = sample_ids(recipe)
    steps = [here.recipe]
    for change in (
        lambda: here.add_rule(Range(column="n_tokens", low=2)),
        lambda: here.add_rule(Range(column="n_tokens", low=3)),
        lambda: here.pin(ids[0], True),
        lambda: here.pin(ids[0], False),
        lambda: here.pin(ids[0], None),
        lambda: here.change(quotas={"pool": 3}),
        lambda: here.drop_rule(Range(column="n_tokens")),
    ):
        change()
        steps.append(here.recipe)
    assert len({step.key for step in steps}) == len(steps) - 1  # an undone pin is no pin
    for step in steps[-2::-1]:
        here.undo()
        assert here.recipe == step
    here.undo()
    assert here.recipe == steps[0]
    for step in steps[1:]:
        here.redo()
        assert here.recipe == step


def test_saving_in_the_bar_keeps_a_version(recipe):
    page = opened()
    page.text_input(key="frame_save_name").input("mine")
    page.text_input(key="frame_save_note").input("first")
    page.button(key="FormSubmitter:frame_save-Save the recipe").click().run()
    assert not page.exception
    assert "Saved as mine, version 1" in page.success[0].value
    with store.connect() as con:
        assert recipes.get(con, "mine") == recipe
