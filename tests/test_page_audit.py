"""The Audit without a browser: the queue, verdicts, what they say, and the file."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import config, pools, runs, store
from core.audit import STRATA
from core.domain import RunSpec
from core.methods import build, catalogue
from core.rules import Range
from core.store import pools as stored_pools
from core.store.reviews import Review, add, reviews
from core.verdicts import Estimate, estimate, guarded
from pages.ui import charts
from pages.ui.charts.audit import intervals

EVIL = "<script>alert(1)</script> ![i](http://a.example/i.png) :red[x]"


def import_pool(folder, records, name="toy", kind="pool"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf8")
    pools.import_files([path], name, kind)


def records(n=60):
    return [
        {"instruction": f"Say {i} words", "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i in range(n)
    ]


def score(method="differential_entropy", **spec):
    return runs.execute(RunSpec("toy", method, **({"model": "fake"} | spec))).run


def open_audit():
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=30).run()
    page.switch_page("pages/audit.py").run()
    assert not page.exception
    return page


def text_of(page):
    kinds = (page.markdown, page.caption, page.info, page.code, page.text, page.success)
    return "\n".join(str(e.value) for kind in kinds for e in kind)


def opened(page):
    return page.session_state["state"].sample


def ids():
    with store.connect() as con:
        return stored_pools.get_pool(con, "toy").sample_ids


def say(reviewer, verdicts, queue=""):
    with store.connect(write=True) as con:
        for sample_id, verdict in verdicts.items():
            add(con, Review("toy", sample_id, reviewer, verdict, "", queue))


def judge(page, verdict, times=1):
    for _ in range(times):
        page.button(key=f"audit_{verdict}").click().run()
        page.run()  # what the whole page does when the store has changed
        assert not page.exception


@pytest.fixture
def scored(tmp_path):
    import_pool(tmp_path, records())
    return score()


@pytest.fixture
def page(scored):
    found = open_audit()
    found.text_input(key="audit_reviewer").set_value("Anna").run()
    return found


def test_a_verdict_is_kept_and_the_next_sample_comes(page):
    first = opened(page)
    judge(page, "good")
    assert opened(page) != first
    with store.connect() as con:
        [row] = reviews(con, "toy").to_dict("records")
    assert (row["sample_id"], row["reviewer"], row["verdict"]) == (first, "Anna", "good")
    assert len(row["queue"]) == 12
    page.button(key="audit_previous").click().run()
    page.run()
    assert opened(page) == first


def test_judging_the_whole_queue_ends_in_shares_with_intervals(page):
    for name, size in {"kept": 4, "dropped": 5, "borderline": 0, "disagreement": 0}.items():
        page.number_input(key=f"audit_{name}").set_value(size)
    page.run()
    judge(page, "good", 6)
    judge(page, "bad", 3)
    text = text_of(page)
    assert "You have judged all of this queue." in text
    assert "Precision of the kept** · " in text
    assert " of 6" in text
    assert " of 54" in text
    assert "good samples are lost" in text


def test_a_queue_needs_a_name_first(scored):
    page = open_audit()
    assert page.button(key="audit_good").disabled
    page.text_input(key="audit_reviewer").set_value("Anna").run()
    assert not page.button(key="audit_good").disabled
    page.button(key="audit_hand_over").click().run()
    assert page.button(key="audit_good").disabled


def test_names_of_reviewers_stand_as_they_are_written(page):
    for who in ("Anne-Marie", "Jean-Luc"):
        say(who, {opened(page): "good"})
    assert "**Anne-Marie** and **Jean-Luc**" in text_of(page.run())


def test_blind_hides_score_fate_and_what_others_said(page):
    say("Boris", {opened(page): "bad"})
    page.run()
    assert "**Why**" not in text_of(page)
    assert "**Boris** bad" not in text_of(page)
    page.toggle(key="audit_blind").set_value(False).run()
    assert "**Why**" in text_of(page)
    assert "**Boris** bad" in text_of(page)


def test_two_reviewers_are_both_kept_and_compared(page):
    say("Anna", dict.fromkeys(ids()[:12], "good"))
    say("Boris", dict.fromkeys(ids()[:12], "good") | {ids()[3]: "bad", ids()[4]: "unsure"})
    page.run()
    assert "83 % equal of 12, kappa 0.00" in text_of(page)
    say("Chen", {ids()[0]: "good"})
    page.run()
    assert "too few for a kappa" in text_of(page)


def test_the_same_seed_gives_the_same_queue_and_another_recipe_another(page):
    first = opened(page)
    page.number_input(key="audit_seed").set_value(5).run()
    page.number_input(key="audit_seed").set_value(0).run()
    assert opened(page) == first
    name = page.session_state["state"].recipe.key
    page.session_state["state"].change(budget="20%")
    page.run()
    assert page.session_state["state"].recipe.key != name
    assert not page.exception


def test_the_queue_goes_along_to_the_reader(page):
    page.button(key="audit_read").click().run()
    page.switch_page("pages/reader.py").run()  # AppTest does not follow by itself
    assert not page.exception
    assert page.session_state["reader_queue"] == "audit"
    name, queue = page.session_state["reader_audit"]
    assert len(name) == 12
    assert f"of {len(queue)}" in text_of(page)
    page.button(key="reader_good").click().run()
    with store.connect() as con:
        assert reviews(con, "toy")["queue"].tolist() == [name]


def test_nothing_asked_for_and_nothing_kept_are_said(page):
    for name in STRATA:
        page.number_input(key=f"audit_{name}").set_value(0)
    page.run()
    assert "Nothing is asked for" in text_of(page)
    for name in STRATA:
        page.number_input(key=f"audit_{name}").set_value(3)
    page.session_state["state"].add_rule(Range(column="n_tokens", low=1e9))
    page.run()
    assert not page.exception
    assert "Precision of the kept** · there are none." in text_of(page)


@pytest.mark.parametrize("method", [m for m, cls in catalogue().items() if cls.measures])
def test_every_method_alone_can_be_audited(tmp_path, method):
    import_pool(tmp_path, records())
    import_pool(tmp_path, records(4), "goal", "query")
    score(method, query="goal" if build(method).needs_query() else "")
    assert "judged by you" in str(open_audit().main) or "Precision" in text_of(open_audit())


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "One", "output": "only"},
        {"instruction": "ما هذا؟", "output": "مرحبا " * 5000},
        {"instruction": EVIL, "output": EVIL},
    ],
)
def test_one_sample_of_any_text_is_shown_as_text(tmp_path, record):
    import_pool(tmp_path, [record])
    score("length")
    page = open_audit()
    assert EVIL not in [m.value for m in page.markdown]
    page.toggle(key="audit_plain").set_value(True).run()
    assert record["output"].strip() in [t.value for t in page.text]
    page.text_input(key="audit_reviewer").set_value(":red[Eve] $x$").run()
    judge(page, "bad")
    assert "Loss among the dropped** · 0 % (all are judged): 0 good and 1 bad of 1" in text_of(page)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "|x"])
def test_a_note_cannot_be_a_formula_in_the_file(text):
    assert guarded(text)[0] == "'"
    assert guarded(text).replace("'", "") == text
    behind = f"a{text}"
    begins_a_cell = text[0] in "\t\r"
    assert guarded(behind) == (behind.replace("=", "'=") if begins_a_cell else behind)


@pytest.mark.usefixtures("scored")
def test_the_file_holds_every_verdict_with_its_stratum():
    first, second = ids()[:2]
    with store.connect(write=True) as con:
        add(con, Review("toy", first, "=Anna", "good", "=HYPERLINK(1)", "q"))
        add(con, Review("toy", second, "Boris", "bad", 'a, "b"\nc', ""))
    page = AppTest.from_function(_file, default_timeout=30).run()
    frame = pd.read_csv(io.BytesIO(page.session_state["made"]), keep_default_na=False)
    assert frame["sample_id"].tolist() == [first, second]
    assert frame["stratum"].tolist() == ["kept", ""]
    assert frame["reviewer"].tolist() == ["'=Anna", "Boris"]
    assert frame["note"].tolist() == ["'=HYPERLINK(1)", 'a, "b"\nc']


def _file():
    import streamlit as st

    from core import store
    from core.store import pools
    from pages.ui import data_audit

    with store.connect() as con:
        first = pools.get_pool(con, "toy").sample_ids[0]
    st.session_state["made"] = data_audit.as_csv("toy", {first: "kept"})


def test_the_chart_shows_each_share_with_its_interval_and_nothing_without_verdicts():
    some = estimate(list("abcd"), {"a": "good", "b": "bad", "c": "good", "d": "unsure"}, 50)
    none = Estimate(50, 0, 0, 0, 0, 0.0, 1.0)
    assert intervals(["kept"], [none], charts.LIGHT) is None
    figure = intervals(["kept", "dropped"], [some, none], charts.LIGHT)
    bar, mark = figure.data
    np.testing.assert_allclose([bar.base[0], bar.x[0]], [50, 25])
    np.testing.assert_allclose(mark.x[0], 100 * some.share)
    np.testing.assert_allclose(mark.x[0] + mark.error_x.array[0], 100 * some.high)
    np.testing.assert_allclose(mark.x[0] - mark.error_x.arrayminus[0], 100 * some.low)
