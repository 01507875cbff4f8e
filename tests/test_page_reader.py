"""The Reader without a browser, and in one where a sample's text tries to act."""

import json
import re
from contextlib import suppress

import pytest
from calls import wait_until
from streamlit.testing.v1 import AppTest

from benchmarks import browser as chrome
from core import config, heat, mapping, pools, runs, store
from core.domain import RunSpec
from core.methods import build, catalogue
from core.rules import Range
from core.store import pools as stored_pools
from core.store.reviews import reviews
from pages.ui.prose import JOINER, harmless, label, pieces, right_to_left

EVIL = [
    "![i](http://a.example/i.png)",
    "[x](http://b.example)",
    "[x][1] ![y][1]\n\n[1]: http://c.example/i.png",
    "<img src=http://d.example/i.png onerror=alert(1)>",
    "<http://e.example> https://f.example www.g.example me@h.example",
    "&#58;material/home&#58; &lt;b&gt;",
    r"\:material/home: \[x](http://i.example) http\://j.example www\.k.example",
    ":red[red] :material/home: :smile: :streamlit: ::leaf[x]\n\n:::box\nx\n:::",
    "$x^2$ and $$y$$",
    "> ```mermaid\n> graph TD; A-->B\n> ```",
    "```mermaid\ngraph TD; A-->B\n```",
    "<script>alert(1)</script>",
    "# Big\n\nTitle\n===",
]
FIRST = {"instruction": "Say it", "output": "**bold** and `code`\n\n```py\nx = 1\n```"}


def import_pool(folder, records, name="toy", kind="pool"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf8")
    pools.import_files([path], name, kind)


def records(n=40):
    return [
        {"instruction": f"Say {i} words", "output": "word " * (1 + i % 9), "source": f"s{i % 3}"}
        for i in range(n)
    ]


def score(method="differential_entropy", **spec):
    return runs.execute(RunSpec("toy", method, **({"model": "fake"} | spec))).run


def open_reader(**query):
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=30)
    for name, value in query.items():
        page.query_params[name] = value
    page = page.run().switch_page("pages/reader.py").run()
    assert not page.exception
    return page


def text_of(page):
    kinds = (page.markdown, page.caption, page.info, page.code, page.text, page.subheader)
    return "\n".join(str(e.value) for kind in kinds for e in kind)


def ids(pool="toy"):
    with store.connect() as con:
        return stored_pools.get_pool(con, pool).sample_ids


@pytest.fixture
def scored(tmp_path):
    import_pool(tmp_path, records())
    return score()


def opened(page):
    return page.session_state["state"].sample


def shown(page):
    """The page's words without the signs that keep a text from acting."""
    return text_of(page).replace(JOINER, "").replace("\\", "")


@pytest.mark.usefixtures("scored")
def test_the_first_of_the_kept_is_opened_and_keys_go_through_them():
    page = open_reader()
    assert "**1** of 4" in text_of(page)
    first = opened(page)
    assert page.button(key="reader_previous").disabled
    page.button(key="reader_next").click().run()
    assert "**2** of 4" in text_of(page)
    assert opened(page) != first
    page.button(key="reader_previous").click().run()
    assert opened(page) == first
    assert "kept: rank 1 of 32" in shown(page)


@pytest.mark.usefixtures("scored")
def test_the_dropped_and_what_a_text_finds_are_queues_too():
    page = open_reader()
    page.session_state["reader_queue"] = "dropped"
    page.run()
    assert "not among these 36" in text_of(page)
    page.button(key="reader_next").click().run()
    assert "**1** of 36" in text_of(page)
    assert "dropped: budget" in shown(page)
    page.session_state["reader_queue"] = "found"
    page.run()
    assert "Type a text" in text_of(page)
    page.text_input(key="reader_find").set_value("SAY 7 WORDS").run()
    page.button(key="reader_next").click().run()
    assert not page.exception
    assert opened(page) == ids()[7]
    page.text_input(key="reader_find").set_value("nowhere").run()
    assert "No sample has this text" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_link_opens_its_sample_and_an_unknown_one_says_so():
    page = open_reader(sample=ids()[23])
    assert opened(page) == ids()[23]
    assert "Say 23 words" in text_of(page)
    page = open_reader(sample="0" * 20)
    assert "not in this pool" in page.warning[0].value
    assert "**1** of 4" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_hand_keeps_drops_and_lets_go():
    page = open_reader()
    sample = opened(page)
    page.button(key="reader_drop").click().run()
    assert "dropped by hand" in text_of(page)
    [pin] = page.session_state["state"].recipe.pins
    assert (pin.sample_id, pin.keep) == (sample, False)
    page.button(key="reader_keep").click().run()
    assert "kept by hand" in text_of(page)
    page.button(key="reader_unpin").click().run()
    assert page.session_state["state"].recipe.pins == ()
    page.button(key="frame_undo").click().run()
    assert "kept by hand" in text_of(page)


@pytest.mark.usefixtures("scored")
def test_a_verdict_needs_a_name_and_keeps_its_note():
    page = open_reader()
    sample = opened(page)
    assert page.button(key="reader_good").disabled
    page.text_input(key="reader_reviewer").set_value("Anna").run()
    assert not page.button(key="reader_good").disabled
    page.text_input(key=f"reader_note_{sample}").set_value("=1+1 :red[x]").run()
    page.button(key="reader_bad").click().run()
    assert not page.exception
    with store.connect() as con:
        [row] = reviews(con, "toy").to_dict("records")
    assert (row["sample_id"], row["reviewer"], row["verdict"]) == (sample, "Anna", "bad")
    assert row["note"] == "=1+1 :red[x]"
    assert "**Anna** bad" in text_of(page)
    assert ":red[x]" not in text_of(page)


@pytest.mark.usefixtures("scored")
def test_each_run_of_the_pool_says_where_the_sample_stands():
    score("random")
    score("length")
    text = text_of(open_reader())
    for title in ("Differential entropy", "Random", "Length"):
        assert re.search(rf"- {title} \S+: :gray\[", text)
    assert "entropy drop" in text


@pytest.mark.usefixtures("scored")
def test_without_a_map_it_says_how_to_make_one():
    assert "sftlens map toy" in text_of(open_reader())


@pytest.mark.usefixtures("scored")
def test_neighbours_are_shown_with_their_fate():
    mapping.make("toy")
    page = open_reader()
    frame = page.dataframe[-1].value
    assert len(frame) == 10
    assert set(frame["fate"]) <= {"kept", "dropped"}
    assert [r == "kept" for r in frame["reason"]] == [f == "kept" for f in frame["fate"]]
    assert frame["cosine"].is_monotonic_decreasing
    assert "a near one may be missing" not in text_of(page)
    with store.connect(write=True) as con:
        con.execute("UPDATE maps SET n = 100_001")  # more than can be compared with all
    assert "a near one may be missing" in text_of(open_reader())


@pytest.mark.usefixtures("scored")
def test_token_heat_is_measured_on_demand_and_then_there():
    page = open_reader()
    page.button(key="reader_heat_start").click().run()
    assert not page.exception
    run = score()
    wait_until(lambda: heat.state(run.run_id, opened(page))[0] != "running")
    page.run()
    assert not page.exception
    assert f"the numbers of run {run.run_id[:8]}" in text_of(page)
    assert not [b for b in page.button if b.key == "reader_heat_start"]


@pytest.mark.usefixtures("scored")
def test_token_heat_that_cannot_be_measured_says_why(monkeypatch):
    monkeypatch.setattr(heat, "lacking", lambda run: "The model has gone.")
    assert "The model has gone." in text_of(open_reader())


@pytest.mark.parametrize("method", [m for m, cls in catalogue().items() if cls.measures])
def test_every_method_alone_is_enough_to_read(tmp_path, method):
    import_pool(tmp_path, records())
    import_pool(tmp_path, records(4), "goal", "query")
    score(method, query="goal" if build(method).needs_query() else "")
    page = open_reader()
    assert "**Why**" in text_of(page) or "No sample" in text_of(page)
    page.session_state["reader_queue"] = "dropped"
    page.run()
    assert not page.exception


@pytest.mark.usefixtures("scored")
def test_a_recipe_that_keeps_nothing_leaves_something_to_read():
    page = open_reader()
    page.session_state["state"].add_rule(Range(column="n_tokens", low=1e9))
    page.session_state["state"].open(None)
    page.run()
    assert not page.exception
    assert "No sample is on this side" in text_of(page)
    page.session_state["reader_queue"] = "dropped"
    page.run()
    assert "rule" in text_of(page)
    assert not page.exception


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "One", "output": "only"},
        {"instruction": "ما هذا؟", "output": "مرحبا " * 5000},
        {"instruction": "long", "output": "x" * 200_000},
        *({"instruction": e, "output": e} for e in EVIL),
    ],
)
def test_one_sample_of_any_text_is_read_as_text(tmp_path, record):
    import_pool(tmp_path, [record])
    score("length")
    page = open_reader()
    assert "**Why**" in text_of(page)
    assert record["output"] not in [m.value for m in page.markdown] or record["output"] == "only"
    page.toggle(key="reader_plain").set_value(True).run()
    assert not page.exception
    assert record["output"].strip() in [t.value for t in page.text]


def test_markdown_and_code_are_drawn_and_plain_text_is_exact(tmp_path):
    import_pool(tmp_path, [FIRST])
    score("length")
    page = open_reader()
    assert "x = 1" in [c.value for c in page.code]
    assert any("**bold** and `code`" in m.value for m in page.markdown)
    page.toggle(key="reader_plain").set_value(True).run()
    assert FIRST["output"] in [t.value for t in page.text]


def test_a_long_turn_is_folded(tmp_path):
    import_pool(tmp_path, [{"instruction": "a", "output": "word\n" * 2000}])
    score("length")
    page = open_reader()
    assert [e.label for e in page.expander if e.label.startswith("All")] == [
        "All 10,000 characters"
    ]


@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_acts_is_left_in_prose(text):
    for piece in pieces(text):
        if piece.code:
            continue
        made = harmless(piece.text)
        assert not re.search(r"\][(\[:]|<[A-Za-z/!?]|:[A-Za-z/]|&[#A-Za-z]|@\w|www[.\\]", made)
        assert not re.search(r"(?<!\\)\$|`{3}|~{3}|^#{1,4} |^=+$", made, re.MULTILINE)
        assert not re.search(r":\S", label(piece.text).replace(f":{JOINER}", ""))


def test_prose_keeps_its_words_tables_and_lines():
    text = "Costs **5** at 12:30\n\n| a | b |\n|:---|---:|\n| 1 | 2 |\n- one\n- two"
    made = harmless(text).replace(f"\\:{JOINER}", ":")
    assert [line.rstrip() for line in made.split("\n")] == text.split("\n")
    assert "|:---|---:|" in harmless(text)


def test_code_is_cut_out_of_prose_even_where_its_fence_stays_open():
    found = pieces("a\r\n```PY x\n1\n```\nb\n~~~\n```\n~~~\n````\nopen\n```")
    assert found == [
        ("a", False, None),
        ("1", True, "py"),
        ("b", False, None),
        ("```", True, None),
        ("open\n```", True, None),
    ]
    [prose, code] = pieces("see\n```python\nx = '![i](http://a)'\n")
    assert (prose.code, code.code, code.language) == (False, True, "python")


def test_a_line_from_right_to_left_is_isolated_after_its_marker():
    assert right_to_left("  12 مرحبا x")
    assert not right_to_left("x مرحبا")
    assert harmless("- مرحبا.") == "- \u2067مرحبا.\u2069  "


@pytest.mark.browser
@pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine")
def test_in_a_browser_no_sample_fetches_links_or_acts(tmp_path):
    from playwright.sync_api import TimeoutError as Late

    import_pool(tmp_path, [{"instruction": e, "output": e + "\n\n" + e} for e in EVIL])
    score("length")
    outside = []
    with chrome.app() as url, chrome.browser() as opened_browser:
        page = opened_browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(60_000)
        local = (url, "data:", "blob:", url.replace("http", "ws"))
        page.on("request", lambda r: None if r.url.startswith(local) else outside.append(r.url))
        for sample_id in ids():
            card = page.locator(".st-key-reader_card")
            for patience in (20_000, 60_000):  # a busy machine may lose a page: load it again
                page.goto(f"{url}/reader?sample={sample_id}")
                with suppress(Late):
                    card.get_by_text(sample_id).wait_for(timeout=patience)
                    break
            assert card.get_by_text(sample_id).count()
            card.locator("[data-testid=stChatMessage]").nth(1).wait_for()
            turns = card.locator("[data-testid=stChatMessageContent]")
            assert turns.locator("a, img, script, iframe, .katex, svg.mermaid").count() == 0
            assert turns.locator("[data-testid=stIconMaterial]").count() == 0
            assert turns.locator("span[style*=color]").count() == 0
        page.close()
    assert outside == []
