"""The Trajectories page without a browser, on the fake engine."""

import numpy as np
import pytest
from test_app import open_page, rows, text_of, write_pool

from core import runs
from core.domain import RunSpec
from core.rules import Among, Range
from pages.ui import cluster_panels
from pages.ui.clusters import Curves

SCRIPT = "pages/trajectories.py"
PARAMS = {"checkpoints": 3, "clusters": 5}


def score(method="loss_trajectory", **params):
    own = (PARAMS if method == "loss_trajectory" else {}) | params
    return runs.execute(RunSpec("toy", method, own, model="fake")).run


@pytest.fixture
def scored(tmp_path):
    write_pool(tmp_path, rows())
    return score()


def recipe(page):
    return page.session_state["state"].recipe


def clusters_of(page):
    return page.multiselect(key="trajectories_clusters")


def test_clusters_are_named_and_their_shares_add_up(scored):
    page = open_page(SCRIPT)
    assert "The recipe ranks by" not in text_of(page)
    assert "From the first of 3 checkpoints to the last" in text_of(page)
    sizes = [int(m.value.replace(",", "")) for m in page.metric]
    assert sum(sizes) == 60
    shares = np.array([[float(x.split(" %")[0]) for x in m.delta.split("→ ")] for m in page.metric])
    np.testing.assert_allclose(shares.sum(0), 100, atol=0.3)
    assert len(clusters_of(page).options) == 5


def test_a_choice_of_clusters_is_a_rule_and_its_removal_takes_it_back(scored):
    page = open_page(SCRIPT)
    clusters_of(page).set_value(["1", "3"]).run()
    assert not page.exception
    assert recipe(page).rules == (Among(column="group", values=("1", "3")),)
    page.button(key="frame_undo").click().run()
    assert recipe(page).rules == ()
    assert clusters_of(page).value == []
    page.button(key="frame_redo").click().run()
    clusters_of(page).set_value([]).run()
    assert recipe(page).rules == ()


def test_a_click_on_a_cluster_keeps_only_its_samples(scored):
    page = open_page(SCRIPT)
    chosen = {"selection": {"points": [{"customdata": 2}], "box": [], "lasso": []}}
    here = page.session_state["state"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_panels, "state", lambda: here)
        patch.setattr(cluster_panels.thresholds, "run_of", lambda shown: "")
        cluster_panels.keep_cluster(None, chosen["selection"]["points"][0]["customdata"])
    page.run()
    assert not page.exception
    assert clusters_of(page).value == ["2"]
    assert recipe(page).rules == (Among(column="group", values=("2",)),)


def test_a_click_where_the_recipe_ranks_by_another_run_names_this_run(scored):
    here = type("Here", (), {"rules": [], "add_rule": lambda self, r: self.rules.append(r)})()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_panels, "state", lambda: here)
        patch.setattr(cluster_panels.thresholds, "run_of", lambda shown: scored.run_id)
        cluster_panels.keep_cluster(None, [4])
    assert here.rules == [Range(column="cluster", run=scored.run_id, low=4, high=4)]


def test_a_recipe_of_another_method_is_told_and_can_rank_by_this_one(scored):
    other = score("random")
    page = open_page("app.py")
    box = page.selectbox(key="frame_run")
    box.select_index(next(i for i, o in enumerate(box.options) if other.run_id[:6] in o)).run()
    page.session_state["state"].add_rule(Range(column="score", low=-1e9))
    page.switch_page(SCRIPT).run()
    assert "The recipe ranks by **random**" in text_of(page)
    assert not [m for m in page.multiselect if m.key == "trajectories_clusters"]
    page.button(key="trajectories_rank").click().run()
    assert not page.exception
    found = recipe(page)
    assert (found.run_id, found.policy) == (scored.run_id, "water_filling")
    assert found.rules == (Range(column="score", low=-1e9, run=other.run_id),)
    page.button(key="frame_undo").click().run()
    assert recipe(page).run_id == other.run_id


def test_a_pool_without_this_method_says_how_to_score_it(tmp_path):
    write_pool(tmp_path, rows())
    score("random")
    page = open_page(SCRIPT)
    assert "sftlens score toy loss_trajectory" in text_of(page)


def test_one_checkpoint_is_no_curve_and_the_page_says_so(tmp_path):
    write_pool(tmp_path, rows())
    score(checkpoints=1)
    page = open_page(SCRIPT)
    assert "one point is no curve" in text_of(page)
    assert "--set checkpoints=12" in text_of(page)


def test_a_recipe_that_keeps_nothing_still_draws_the_curves(scored):
    page = open_page(SCRIPT)
    page.session_state["state"].add_rule(Range(column="n_tokens", low=1e9))
    page.run()
    assert not page.exception
    assert "**0** of 60 kept" in text_of(page)
    assert all(m.delta.endswith("→ 0.0 % of kept") for m in page.metric)
    assert "could not be drawn" not in text_of(page)


def test_one_sample_and_markup_in_it_are_shown_as_text(tmp_path):
    evil = "<script>alert(1)</script> **bold** [x](http://a.example)"
    write_pool(tmp_path, [{"instruction": evil, "output": "مرحبا " * 2000}])
    score()
    page = open_page(SCRIPT)
    assert "1 cluster of curves" in text_of(page)
    assert "could not be drawn" not in text_of(page)
    assert evil not in [m.value for m in page.markdown]


def test_a_budget_in_tokens_fills_by_tokens(scored):
    page = open_page(SCRIPT)
    page.session_state["state"].change(budget="20% tokens")
    page.run()
    assert not page.exception
    assert "could not be drawn" not in text_of(page)


def test_many_clusters_are_drawn_in_part_and_the_rest_is_said(tmp_path):
    write_pool(tmp_path, rows())
    score(clusters=20)
    page = open_page(SCRIPT)
    assert "The 12 largest of 20 clusters; the others hold" in text_of(page)


def test_counts_by_cluster_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    group, cost = rng.integers(-1, 4, 80), rng.random(80)
    mask, names = rng.random(80) < 0.4, np.arange(4)
    curves = Curves(type("R", (), {"group": names})(), [], np.zeros(2), group)
    for own in (None, cost):
        wanted = [
            sum(1.0 if own is None else own[i] for i in range(80) if mask[i] and group[i] == g)
            for g in names
        ]
        np.testing.assert_allclose(curves.counts(mask, own), wanted)


def test_the_opened_sample_has_its_curve_over_its_cluster(scored):
    page = open_page(SCRIPT)
    said = [m.value for m in page.markdown if "opened sample's curve, cluster" in m.value]
    assert len(said) == 1
