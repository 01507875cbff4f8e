"""The Export page without a browser."""

import json
import re
import sys

import pytest
from calls import jsonl
from streamlit.testing.v1 import AppTest

from core import companions, config, pools, runs
from core.domain import RunSpec
from core.methods import build, catalogue
from core.rules import Range

EVIL = "<script>alert(1)</script> **bold** [a](javascript:alert(2)) :red[x] $y$ `|`"


def rows(n=40):
    return [
        {"instruction": f"Say {i} words", "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i in range(n)
    ]


def store(tmp_path, records, method="differential_entropy"):
    pools.import_files([jsonl(tmp_path / "pool.jsonl", records)], "toy")
    query = ""
    if build(method).needs_query():
        pools.import_files([jsonl(tmp_path / "query.jsonl", rows(3))], "goal", "query")
        query = "goal"
    return runs.execute(RunSpec("toy", method, model="fake", query=query)).run


def open_page():
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=60).run()
    page.switch_page("pages/export.py").run()
    assert not page.exception
    return page


def text_of(page):
    shown = [*page.markdown, *page.caption, *page.info, *page.code, *page.warning, *page.error]
    return "\n".join(str(element.value) for element in shown)


def file_table(page):
    return page.dataframe[-1].value


def test_files_are_made_listed_with_their_use_and_offered(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    assert not page.dataframe
    page.button(key="export_make").click().run()
    assert not page.exception
    table = file_table(page)
    assert table["file"].tolist() == ["subset.jsonl", *companions.NAMES, "manifest.json"]
    assert all(table["what it is for"])
    assert table["rows"].tolist() == ["4", *[""] * len(companions.NAMES), ""]
    (folder,) = config.folder("exports").iterdir()
    for name, size in zip(table["file"], table["bytes"], strict=True):
        assert size == f"{(folder / name).stat().st_size:,}"
    manifest = json.loads((folder / "manifest.json").read_text("utf8"))
    for name, facts in manifest["files"].items():
        sha = table.loc[table["file"] == name, "SHA-256"].iloc[0]
        assert facts["sha256"].startswith(sha)
        assert len(sha) == 16


def test_what_leaves_and_what_stays_add_up_to_the_pool(tmp_path):
    store(tmp_path, rows())
    (line,) = [m.value for m in open_page().markdown if " leave." in m.value]
    leaving, stay, *reasons = [int(n) for n in re.findall(r"(?:\*\*|[:;] )(\d+)", line)]
    assert leaving == 4
    assert leaving + stay == 40
    assert sum(reasons) == stay


def test_switches_change_the_files_and_the_command(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    assert "--extras --out my_subset" in text_of(page)
    page.checkbox(key="export_extras").uncheck().run()
    page.checkbox(key="export_rejected").check().run()
    page.radio(key="export_shape").set_value("sharegpt").run()
    page.segmented_control(key="export_file").set_value("parquet").run()
    assert not page.exception
    assert "--shape sharegpt --file parquet --rejected --out my_subset" in text_of(page)
    page.button(key="export_make").click().run()
    table = file_table(page)
    assert table["file"].tolist() == ["subset.parquet", "rejected.parquet", "manifest.json"]
    assert table["rows"].tolist() == ["4", "36", ""]


def test_files_of_another_choice_are_not_shown_as_this_ones(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    page.button(key="export_make").click().run()
    assert page.dataframe
    page.checkbox(key="export_scores").check().run()
    assert not page.dataframe
    page.checkbox(key="export_scores").uncheck().run()
    assert page.dataframe


@pytest.mark.parametrize("shape", ["alpaca", "messages", "sharegpt"])
def test_the_preview_is_the_beginning_of_the_file(tmp_path, shape):
    store(tmp_path, rows())
    page = open_page()
    page.radio(key="export_shape").set_value(shape).run()
    page.button(key="export_make").click().run()
    (folder,) = config.folder("exports").iterdir()
    lines = (folder / "subset.jsonl").read_text("utf8").splitlines()
    shown = [json.loads(c.value) for c in page.code if c.language == "json"]
    assert shown == [json.loads(line) for line in lines[:3]]


def test_nothing_kept_says_so_and_offers_no_file(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    page.session_state["state"].add_rule(Range(column="n_tokens", low=1e9))
    page.run()
    assert not page.exception
    assert "The recipe keeps nothing." in text_of(page)
    assert "Nothing would be written." in text_of(page)
    assert not [b for b in page.button if b.key == "export_make"]


@pytest.mark.parametrize("method", [m for m, cls in catalogue().items() if cls.measures])
def test_any_single_score_is_enough(tmp_path, method):
    store(tmp_path, rows(30), method)
    page = open_page()
    if len(page.warning):
        assert "The recipe keeps nothing." in text_of(page)  # no multiple-choice sample is here
        return
    page.button(key="export_make").click().run()
    assert not page.exception
    assert not page.error
    assert len(file_table(page)) == 7


def test_one_sample_can_be_exported(tmp_path):
    store(tmp_path, rows(1), "length")
    page = open_page()
    page.session_state["state"].change(budget="1")
    page.run()
    page.button(key="export_make").click().run()
    assert not page.exception
    assert file_table(page)["rows"].tolist()[0] == "1"


def test_text_of_any_kind_is_shown_as_it_is_written(tmp_path):
    odd = [
        {"instruction": EVIL, "output": EVIL, "source": EVIL},
        {"instruction": "ترجم: صباح الخير", "output": "בוקר טוב", "source": "عربي"},
        {"instruction": "long", "output": "word " * 20_000, "source": "long"},
    ]
    store(tmp_path, odd, "length")
    page = open_page()
    page.session_state["state"].change(budget="100%")
    page.run()
    assert not page.exception
    code = "\n".join(c.value for c in page.code if c.language == "json")
    assert json.dumps(EVIL)[1:-1] in code
    assert "בוקר טוב" in code
    assert "more characters of this record are written, not shown." in text_of(page)
    assert EVIL not in "\n".join(m.value for m in page.markdown)
    page.button(key="export_make").click().run()
    assert not page.exception


def test_a_folder_that_is_in_the_way_is_one_sentence(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    page.button(key="export_make").click().run()
    (folder,) = config.folder("exports").iterdir()
    (folder / "mine.txt").write_text("mine")
    page.button(key="export_make").click().run()
    assert not page.exception
    assert "the folder holds other files" in page.error[0].value


def test_nothing_is_sent_without_files_a_name_and_a_yes(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    assert not [b for b in page.button if b.key == "export_push"]
    page.button(key="export_make").click().run()
    assert page.button(key="export_push").disabled
    page.text_input(key="export_repo").set_value("me/mine").run()
    assert page.button(key="export_push").disabled
    page.checkbox(key="export_may").check().run()
    assert not page.button(key="export_push").disabled
    assert not page.checkbox(key="export_public").value


def test_a_hub_that_says_no_is_one_sentence(tmp_path, monkeypatch):
    store(tmp_path, rows())
    page = open_page()
    page.button(key="export_make").click().run()
    page.text_input(key="export_repo").set_value("me/mine").run()
    page.checkbox(key="export_may").check().run()
    page.button(key="export_push").click().run()  # the tests run offline
    assert not page.exception
    assert "the hub is switched off by HF_HUB_OFFLINE" in page.error[0].value
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    page.button(key="export_push").click().run()
    assert 'pip install "sftlens[hf]"' in page.error[0].value


def test_the_story_of_this_recipe_is_one_click_away(tmp_path):
    store(tmp_path, rows())
    page = open_page()
    (link,) = [e for e in page.get("page_link") if e.proto.label == "Show as a story"]
    assert link.proto.page == "story"
    assert "recipe=" in link.proto.query_string
