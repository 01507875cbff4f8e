"""The Divergence page without a browser."""

import json
import shutil

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import config, mapping, pools, runs, selection, store
from core.domain import RunSpec
from core.store import runs as stored
from core.store import views
from pages.ui import charts
from pages.ui.charts import divergence

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)> **bold** [x](javascript:alert(1))",
    "مرحبا بالعالم، كيف حالك اليوم؟ " * 5,
    "word " * 4000,
]


def write_pool(folder, n=40, hostile=False):
    texts = HOSTILE if hostile else []
    rows = [
        {"instruction": text, "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i, text in enumerate([*texts, *(f"Say {i} words" for i in range(n - len(texts)))])
    ]
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "toy")


def score(method, **params):
    return runs.execute(RunSpec("toy", method, params, model="fake")).run


@pytest.fixture
def scored(tmp_path):
    write_pool(tmp_path)
    return score("answer_divergence", bins=4)


def open_page():
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=60).run()
    page.switch_page("pages/divergence.py").run()
    assert not page.exception
    return page


def text_of(page):
    shown = [*page.markdown, *page.caption, *page.info, *page.code, *page.subheader, *page.text]
    return "\n".join(str(element.value) for element in shown)


def test_with_scores_it_shows_the_answers_of_the_first_kept_sample(scored):
    page = open_page()
    assert "The answers to one instruction" in text_of(page)
    assert "Underlined: what A" in text_of(page)
    assert page.slider(key="divergence_weight").value == 0.4
    assert "λ ranks the samples anew" in text_of(page)
    assert "sftlens map toy" in text_of(page)  # how to make the map that is not there


def test_the_weight_ranks_the_recipe_anew_and_can_be_undone(scored):
    page = open_page()
    before = page.dataframe[0].value["score"].tolist()
    page.slider(key="divergence_weight").set_value(1.0).run()
    assert not page.exception
    assert page.session_state["state"].recipe.params == {"weight": 1.0}
    assert page.dataframe[0].value["score"].tolist() != before
    page.button(key="frame_undo").click().run()
    assert page.slider(key="divergence_weight").value == 0.4
    assert page.dataframe[0].value["score"].tolist() == before


def test_under_another_ranking_the_weight_leaves_the_recipe_until_it_is_asked_to_rank(tmp_path):
    write_pool(tmp_path)
    own = score("answer_divergence", bins=4)
    score("differential_entropy")
    page = open_page()
    assert "The recipe ranks by **differential entropy**" in text_of(page)
    recipe = page.session_state["state"].recipe
    assert recipe.method == "differential_entropy"
    page.slider(key="divergence_weight").set_value(0.8).run()
    assert page.session_state["state"].recipe == recipe
    page.button(key="divergence_rank").click().run()
    assert not page.exception
    now = page.session_state["state"].recipe
    assert (now.run_id, now.params, now.policy) == (own.run_id, {"weight": 0.8}, "quotas")
    page.button(key="frame_undo").click().run()
    assert page.session_state["state"].recipe == recipe


def test_without_this_score_it_says_how_to_make_it(tmp_path):
    write_pool(tmp_path)
    score("differential_entropy")
    assert "sftlens score toy answer_divergence" in text_of(open_page())


def test_with_nothing_kept_it_says_so_and_goes_on(scored):
    page = open_page()
    page.session_state["state"].change(rules=({"column": "dispersion", "low": 9.0},))
    page.session_state["state"].open(None)
    page.run()
    assert not page.exception
    assert "**0** of 40 kept" in text_of(page)
    assert "Click a sample above or in the list" in text_of(page)


def test_of_one_sample_there_is_a_page_too(tmp_path):
    write_pool(tmp_path, n=1)
    score("answer_divergence", bins=1)
    page = open_page()
    page.session_state["state"].change(budget="100%")
    page.run()
    assert not page.exception
    assert "Say 0 words" in text_of(page)


@pytest.mark.parametrize("which", range(3))
def test_whatever_an_instruction_says_is_shown_as_text(tmp_path, which):
    write_pool(tmp_path, hostile=True)
    run = score("answer_divergence", bins=4)
    loaded = selection.load(run.run_id)
    page = open_page()
    page.session_state["state"].open(loaded.ids[which])
    page.run()
    assert not page.exception
    said = HOSTILE[which].strip()[:100]
    assert any(said in str(element.value) for element in page.text)
    assert not any(said in str(element.value) for element in [*page.markdown, *page.caption])
    assert not any(getattr(element, "allow_html", False) for element in page.markdown)


def test_the_script_of_the_answers_makes_text_and_no_markup():
    script = (config.ROOT / "pages/ui/browser/answers.js").read_text("utf8")
    assert "textContent" in script
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_when_the_words_of_the_answers_have_gone_their_cosines_are_still_shown(scored):
    shutil.rmtree(config.cache_dir() / "blocks" / scored.card["parts"]["answers"])
    page = open_page()
    assert "The words of these answers are not in this cache" in text_of(page)
    assert "Cosines between the answers" in text_of(page)
    assert "could not be drawn" not in text_of(page)


def test_the_maps_are_coloured_by_divergence_and_by_either_part_of_it(scored):
    for of in ("instructions", "answers"):
        mapping.make("toy", of)
    page = open_page()
    for of in ("instructions", "answers"):
        page.segmented_control(key="divergence_of").set_value(of).run()
        for by in ("divergence", "dispersion", "anisotropy"):
            page.segmented_control(key="divergence_by").set_value(by).run()
            assert not page.exception
        assert f"Map of the {of}" in text_of(page)
        assert "sftlens map" not in text_of(page)


def test_answers_can_be_marked_against_another(scored):
    page = open_page()
    other = next(
        k for k in range(5) if k != page.segmented_control(key="divergence_reference").value
    )
    page.segmented_control(key="divergence_reference").set_value(other).run()
    assert not page.exception
    assert f"Underlined: what A{other + 1} does not say there." in text_of(page)


def columns(run):
    with store.connect() as con:
        assert len(views.runs(con)) == 1
        return stored.run_columns(con, run.run_id)


def test_the_plane_marks_every_sample_with_its_position(scored):
    found = columns(scored)
    kept = np.arange(40) < 5
    figure = divergence.spread(found["dispersion"], found["anisotropy"], kept, (), 7, charts.LIGHT)
    marked = {trace.name: list(trace.customdata) for trace in figure.data if trace.name}
    assert sorted([*marked["dropped"], *marked["kept"]]) == list(range(40))
    assert marked["kept"] == list(range(5))
    assert list(figure.data[-1].customdata) == [7]


def test_a_large_plane_counts_in_cells_and_marks_some(monkeypatch):
    rng = np.random.default_rng(0)
    d, i = rng.random(20_000), rng.random(20_000)
    figure = divergence.spread(d, i, d > 0.5, (), None, charts.DARK)
    shades = next(trace for trace in figure.data if trace.type == "heatmap")
    assert shades.text.sum() == 20_000
    assert shades.customdata is None  # a click on a cell opens nothing
    marks = sum(len(t.x) for t in figure.data if t.type == "scatter")
    assert marks <= 2 * divergence.SHOWN


def test_a_plane_without_numbers_and_a_cloud_of_one_are_empty():
    none = np.full(3, np.nan)
    assert divergence.spread(none, none, none > 0, (), None, charts.LIGHT) is None
    one = divergence.cloud(np.zeros((1, 2)), np.zeros(2), ["A1"], "A1", charts.LIGHT)
    assert one is None
    assert divergence.cosines(np.zeros((0, 0)), [], charts.LIGHT) is None
