"""The Overview without a browser: the scores in small, their health, and the sources."""

import numpy as np
import pytest
from test_app import open_page, rows, text_of, write_pool

from core import config, runs
from core.domain import RunSpec
from core.rules import Among, Range
from pages.ui import overview, sources
from pages.ui.charts import LIGHT, bars
from pages.ui.charts import overview as charts

EVIL = "<script>alert(1)</script> **bold** [x](http://a.example) ![y](http://b.example/y.png)"


def score(method, pool="toy", **params):
    return runs.execute(RunSpec(pool, method, params, model="fake")).run


@pytest.fixture
def imported(tmp_path):
    write_pool(tmp_path, rows())


def health(page):
    return next(f.value for f in page.dataframe if "follows length" in f.value.columns)


@pytest.mark.usefixtures("imported")
def test_a_method_that_is_not_scored_says_the_command_and_the_others_are_shown():
    score("differential_entropy")
    page = open_page("app.py")
    said = text_of(page)
    for method in overview.PAGES:
        told = f"sftlens score toy {method}" in [c.value.split(" --query")[0] for c in page.code]
        assert told == (method != "differential_entropy"), method
    assert "sftlens score toy gradient_similarity --query TARGET" in said
    assert said.count("Not scored yet.") == 4
    assert "ranks the recipe" in said
    assert health(page)["run"].tolist()[0].startswith("Differential entropy")


@pytest.mark.usefixtures("imported")
def test_each_published_method_alone_is_enough_to_open_the_page():
    for method in ("answer_divergence", "loss_trajectory"):
        score(method)
    page = open_page("app.py")
    assert text_of(page).count("Not scored yet.") == 3
    assert len(health(page)) == 2


@pytest.mark.usefixtures("imported")
def test_health_says_what_is_wrong_in_words_and_what_to_do():
    score("length")
    score("random")
    page = open_page("app.py")
    table = health(page).set_index("run")
    length = next(run for run in table.index if run.startswith("Length"))
    assert table.loc[length, "ties"] == "✕ bad"  # 60 samples of 9 lengths
    assert table.loc[length, "seeds agree"] == "–"
    assert "break them with a rule" in text_of(page)


@pytest.mark.usefixtures("imported")
def test_one_seed_is_not_known_and_two_are_compared():
    score("answer_divergence", seed=1)
    page = open_page("app.py")
    assert health(page)["seeds agree"].tolist() == ["? not known"]
    assert "sftlens score toy answer_divergence --set seed=43" in text_of(page)
    score("answer_divergence", seed=2)
    page = open_page("app.py")
    first, second = health(page)["seeds agree"].tolist()
    assert first == second
    assert first in ("✓ fine", "! watch", "✕ bad")


@pytest.mark.parametrize("n", [1, 2])
def test_few_samples_and_markup_in_names_are_shown_as_text(tmp_path, n):
    write_pool(tmp_path, [{"instruction": EVIL, "output": "مرحبا " * 900, "source": EVIL}] * 1)
    write_pool(
        tmp_path, [{"instruction": f"{EVIL}{i}", "output": "a", "source": EVIL} for i in range(n)]
    )
    score("random")
    page = open_page("app.py")
    assert not page.exception
    assert not [m for m in page.markdown if EVIL in m.value]


@pytest.mark.usefixtures("imported")
def test_a_recipe_that_keeps_nothing_leaves_the_page_whole():
    score("random")
    page = open_page("app.py")
    page.session_state["state"].add_rule(Range(column="score", low=2.0))
    page.run()
    assert not page.exception
    assert "**0** of 60 kept" in text_of(page)
    assert len(health(page)) == 1


@pytest.mark.usefixtures("imported")
def test_a_click_on_a_source_keeps_it_alone(monkeypatch):
    from core.recipe import Recipe
    from core.selection import select

    run = score("random")
    chosen = select(Recipe(pool="toy", method="random", run_id=run.run_id))
    said = []
    here = type("Here", (), {"add_rule": staticmethod(said.append)})
    monkeypatch.setattr(sources, "state", lambda: here)
    sources.keep_only(chosen)([1])
    assert said == [Among(column="source", values=(sources.shares(chosen).names[1],))]
    shares = sources.shares(chosen)
    assert sum(shares.total) == 60
    assert sum(shares.kept) == len(chosen.subset.chosen)
    assert sum(mean for mean, _ in shares.expected) == pytest.approx(sum(shares.kept))


def test_charts_of_names_with_markup_escape_it():
    figure = bars.shares([EVIL], [1], [2], [(1.0, 0.1)], LIGHT)
    assert "<script>" not in figure.to_json().replace("\\u003c", "<")


def test_a_score_without_numbers_draws_nothing_and_one_value_draws():
    nothing, one = np.full(4, np.nan), np.ones(4, np.float32)
    kept, chance = np.zeros(4, bool), np.full(4, 0.5)
    assert charts.small_scores(nothing, kept, chance, LIGHT) is None
    assert charts.small_scores(one, kept, chance, LIGHT) is not None


def test_the_pages_of_the_methods_exist():
    from core.methods import catalogue

    assert set(overview.PAGES) <= set(catalogue())
    assert all((config.ROOT / page).is_file() for page in overview.PAGES.values())
