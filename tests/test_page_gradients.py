"""The Gradient map without a browser."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import config, coverage, mapping, pools, runs, selection
from core.domain import RunSpec
from pages.ui import charts
from pages.ui.charts import gradients, selectors

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)> **bold** [x](javascript:alert(1))",
    "مرحبا بالعالم، كيف حالك اليوم؟ " * 5,
    "word " * 4000,
]


def write(folder, texts, name, kind="pool"):
    rows = [
        {"instruction": text, "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i, text in enumerate(texts)
    ]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], name, kind=kind)


def make(folder, n=40, queries=None):
    write(folder, [f"Say {i} words" for i in range(n)], "toy")
    write(folder, queries or [f"Count to {i}" for i in range(5)], "goal", "query")


def score(method="gradient_similarity", query="goal", **params):
    own = {"width": 32, "checkpoints": 1} if method == "gradient_similarity" else {}
    spec = RunSpec("toy", method, own | params, model="fake", query=query if own else None)
    return runs.execute(spec).run


@pytest.fixture
def scored(tmp_path):
    make(tmp_path)
    return score()


def open_page():
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=60).run()
    page.switch_page("pages/gradients.py").run()
    assert not page.exception
    return page


def text_of(page):
    shown = [*page.markdown, *page.caption, *page.info, *page.code, *page.subheader, *page.text]
    return "\n".join(str(element.value) for element in shown)


def test_the_sentence_counts_the_queries_that_kept_samples_serve(scored):
    page = open_page()
    own = selection.select(page.session_state["state"].recipe)
    similarity = own.scores.similarity
    for percentile in (80.0, 99.9):
        page.slider(key="gradients_level").set_value(percentile).run()
        assert not page.exception
        level = np.percentile(similarity, percentile)
        bare = similarity[own.subset.chosen].max(0) < level
        assert f"**{5 - bare.sum()}** of 5 queries are served" in text_of(page)
        assert ("Nothing kept serves" in text_of(page)) == bool(bare.any())
        named = "\n".join(element.value for element in page.text)
        for q in np.flatnonzero(bare):
            assert f"“Count to {q}” nearest kept" in named


def test_without_a_map_the_clusters_are_the_sources_and_with_one_its_own(scored):
    page = open_page()
    assert page.segmented_control(key="gradients_by").options == ["Sources"]
    assert "sftlens map toy --of gradients" in text_of(page)


def test_a_map_of_the_gradients_is_offered_and_its_clusters_are_covered(scored):
    mapping.make("toy", "gradients")
    page = open_page()
    offered = page.segmented_control(key="gradients_by")
    assert offered.options == ["Map of gradients", "Sources"]
    for by in offered.options:
        page.segmented_control(key="gradients_by").set_value(by).run()
        assert not page.exception
        assert "could not be drawn" not in text_of(page)
    page.segmented_control(key="gradients_colour").set_value("query above").run()
    assert not page.exception


def test_a_query_shows_its_text_and_its_nearest_and_farthest_kept_samples(scored):
    page = open_page()
    own = selection.select(page.session_state["state"].recipe)
    page.selectbox(key="gradients_query").set_value(3).run()
    assert not page.exception
    assert "Count to 3" in [element.value for element in page.text]
    near, far = page.dataframe[0].value, page.dataframe[1].value
    mine = np.sort(own.scores.similarity[own.subset.chosen, 3])[::-1]
    assert near["similarity"].tolist() == pytest.approx(mine[: len(near)].tolist())
    assert far["similarity"].tolist() == pytest.approx(mine[::-1][: len(far)].tolist())


def test_both_distances_are_drawn_and_the_selectors_compared(scored):
    page = open_page()
    for measure in ("nearest", "transport"):
        page.segmented_control(key="gradients_measure").set_value(measure).run()
        assert not page.exception
        assert "could not be drawn" not in text_of(page)
    assert "Samples that they share" in text_of(page)
    assert "is not drawn" not in text_of(page)


def test_under_another_ranking_the_recipes_own_samples_are_what_serves(tmp_path):
    make(tmp_path)
    run = score()
    score("differential_entropy")
    page = open_page()
    recipe = page.session_state["state"].recipe
    assert recipe.method == "differential_entropy"
    kept = selection.select(recipe).subset.chosen
    own = selection.select(recipe.model_copy(update={"method": run.method, "run_id": run.run_id}))
    level = coverage.level(own.scores.similarity, 99)
    best, _ = coverage.nearest(own.scores.similarity, kept)
    assert f"**{coverage.served(best, level).sum()}** of 5 queries" in text_of(page)


def test_without_this_score_it_says_how_to_make_it(tmp_path):
    make(tmp_path)
    score("differential_entropy")
    shown = text_of(open_page())
    assert "sftlens score toy gradient_similarity --query TARGET" in shown


def test_with_nothing_kept_it_names_every_query_and_goes_on(scored):
    page = open_page()
    page.session_state["state"].change(rules=({"column": "similarity_max", "low": 9.0},))
    page.run()
    assert not page.exception
    assert "**0** of 5 queries are served" in text_of(page)
    assert "nothing is kept" in text_of(page)
    assert "Nothing is kept, so nothing is covered" in text_of(page)
    assert "could not be drawn" not in text_of(page)


def test_of_one_sample_and_one_query_there_is_a_page_too(tmp_path):
    make(tmp_path, n=1, queries=["Only this"])
    score(warm_up_fraction=1.0)
    page = open_page()
    page.session_state["state"].change(budget="100%")
    page.run()
    assert not page.exception
    assert "could not be drawn" not in text_of(page)
    assert "of 1 queries are served" in text_of(page)


def test_whatever_a_query_says_is_shown_as_text(tmp_path):
    make(tmp_path, queries=HOSTILE)
    score()
    page = open_page()
    for q, text in enumerate(HOSTILE):
        page.selectbox(key="gradients_query").set_value(q).run()
        assert not page.exception
        said = " ".join(text.split())[:80]
        assert any(said in str(element.value) for element in page.text)
        assert not any(said in str(e.value) for e in [*page.markdown, *page.caption])


def test_labels_on_charts_are_text_too():
    assert gradients.label(HOSTILE[0], 200).startswith("&lt;script&gt;alert(1)&lt;/script&gt;")
    assert len(gradients.label(HOSTILE[2])) == gradients.LETTERS
    assert gradients.label("two\nlines  and\ttabs") == "two lines and tabs"


def test_a_cell_of_the_coverage_leads_to_its_nearest_sample():
    similarity = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    cluster = np.arange(30) % 3
    found = coverage.coverage(similarity, np.arange(30), cluster, 3)
    figure = gradients.coverage(
        found.value, found.row, list("abcd"), list("xyz"), np.ones(4, bool), "max", charts.LIGHT
    )
    cells = figure.data[0]
    assert cells.meta == "rows"
    for q in range(4):
        for c in range(3):
            row = cells.customdata[q][c]
            assert cluster[row] == c
            assert similarity[row, q] == cells.z[q][c]
    empty = np.full((2, 2), np.nan)
    assert gradients.coverage(empty, empty, "ab", "xy", [True] * 2, "max", charts.DARK) is None


def test_the_ranked_curve_counts_down_and_marks_kept_samples():
    best = np.random.default_rng(1).random(5000)
    best[:10] = np.nan
    kept = np.zeros(5000, bool)
    kept[:2000] = True
    line, marks = gradients.ranked(best, kept, 0.5, charts.LIGHT).data[:2]
    for x, rank in zip(line.x, line.y, strict=True):
        assert np.sum(best >= x) == rank
    assert len(marks.x) <= gradients.MARKS
    assert all(
        kept[row] and best[row] == x for row, x in zip(marks.customdata, marks.x, strict=True)
    )
    assert gradients.ranked(np.full(3, np.nan), kept[:3], 0.5, charts.LIGHT) is None


def test_without_random_subsets_there_is_no_chart_of_distances():
    assert selectors.distances(None, {}, None, charts.LIGHT, "mine") is None
    assert selectors.overlap(np.ones((1, 1)), ["mine"], charts.LIGHT) is None
