"""Hostile recipes, links, manifests and addresses: one sentence each, and nothing of it acts."""

import base64
import json
import os
import random
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from benchmarks.fuzz.targets import of_documents
from core import config, export, hub, links, pools, replay, runs
from core.domain import RunSpec
from core.errors import BudgetError, HubError, ManifestError, SFTLensError
from core.policies.budget import MOST, Budget
from core.recipe import Recipe

LAUGHS = "a: &a [lol]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
IMAGE = "![x](https:evil.example/x.png)"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Count to {i}", "output": "one " * (1 + i % 5)} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "toy")
    run = runs.execute(RunSpec("toy", "differential_entropy", model="fake")).run
    return Recipe(pool="toy", method=run.method, run_id=run.run_id)


def test_a_broken_document_is_refused_in_a_line_or_read(tmp_path: Path) -> None:
    targets = of_documents(tmp_path)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**40))
    def tried(seed: int) -> None:
        for name, target in targets.items():
            data = target.make(random.Random(seed))
            assert target.try_(tmp_path / f"fuzzed.{name}", data, seed) in ("refused", "read")

    tried()


# recipes

WRONG: dict[str, Any] = {
    "unknown": {"unknown": 1},
    "pool": {"pool": ["a"]},
    "pool-half": {"pool": "a\ud800"},
    "pool-long": {"pool": "a" * 1000},
    "run": {"run_id": "x\ud800"},
    "method": {"method": ""},
    "policy": {"policy": "top\udfff"},
    "budget-type": {"budget": {"a": 1}},
    "budget-long": {"budget": "9" * 10_000},
    "knob-nested": {"params": {"trim_low": [[[1]]]}},
    "knob-nan": {"params": {"trim_low": float("nan")}},
    "knob-huge": {"params": {"trim_low": 10**30}},
    "knob-half": {"params": {"\ud800": 1}},
    "policy-knob": {"policy_params": {"seed": {"a": {}}}},
    "rules": {"rules": [{"column": "n_tokens", "low": float("inf")}]},
    "rules-many": {"rules": [{"column": f"c{k}", "low": 1} for k in range(101)]},
    "rule-half": {"rules": [{"column": "source", "values": ["\ud800"]}]},
    "rule-search": {"rules": [{"text": "\ud800"}]},
    "rule-run": {"rules": [{"column": "x", "run": "'; DROP TABLE runs"}]},
    "lasso": {"rules": [{"map_id": "../../etc", "polygon": [[0, 0], [1, 1], [0, 1]]}]},
    "quota": {"quotas": {"a": -1}},
    "quota-huge": {"quotas": {"a": 10**30}},
    "quota-half": {"quotas": {"\ud800": 1}},
    "pin": {"pins": [{"sample_id": "x", "keep": True}]},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_recipe_of_wrong_fields_is_one_line(case: str) -> None:
    fields = {"pool": "toy", "method": "random", "run_id": "0" * 20} | WRONG[case]
    with pytest.raises(BudgetError) as error:
        Recipe.load(fields)
    assert str(error.value).isprintable()
    assert "Make the recipe anew." in str(error.value)


@pytest.mark.parametrize("text", ["9" * 100, "1" + "0" * 16, f"{10**18} tokens"])
def test_a_budget_beyond_all_pools_is_a_number_that_arrays_hold(text: str) -> None:
    assert np.int64(Budget.parse(text).amount) == np.float64(Budget.parse(text).amount) == MOST


# links


def packed(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(zlib.compress(raw)).decode().rstrip("=")


BAD_LINKS = {
    "bomb": packed("[" * 10_000_000),
    "deep": packed('{"a":' * 30_000),
    "yaml": packed(LAUGHS),
    "list": packed("[1, 2]"),
    "bytes": packed(bytes(range(256))),
    "image": IMAGE,
    "html": "<img src=x onerror=alert(1)>",
    "markdown": packed(json.dumps({"pool": IMAGE, "method": IMAGE, "run_id": IMAGE})),
    "unknown": packed(json.dumps({IMAGE: 1})),
    "long": "A" * 200_000,
    "empty": "=",
    "nul": "\0",
    "spaces": "  a b ",
}


@pytest.mark.parametrize("case", BAD_LINKS)
def test_a_link_that_is_none_is_one_line(case: str) -> None:
    if case == "markdown":  # texts, which no store knows
        assert links.unpack(BAD_LINKS[case]).pool == IMAGE
        return
    with pytest.raises(SFTLensError) as error:
        links.unpack(BAD_LINKS[case])
    assert str(error.value).isprintable()


# markdown that would act: a link or image, HTML, a bare address, a directive
ACTS = re.compile(r"\]\(|\]\[|<[a-z/!?]|https?:[^\u2060\s]|javascript:\w|:red\[|onerror=\w+>", re.I)
SPAN = re.compile(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)")
KINDS = ("markdown", "caption", "title", "header", "subheader", "info", "warning", "error")


def acting(page: AppTest) -> list[str]:
    """Texts of the page, read as markdown, in which something would act; inline code cannot."""
    texts = [e.value for kind in (*KINDS, "success") for e in getattr(page, kind)]
    texts += [b.label for b in page.button]
    return [text for text in texts if ACTS.search(SPAN.sub("", text).replace("\\", ""))]


def opened(script: str, **query: str) -> AppTest:
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=120)
    for name, text in query.items():
        page.query_params[name] = text
    if script != "app.py":
        page.switch_page(script)
    page.run()
    assert not page.exception, (script, query)
    assert acting(page) == [], (script, query)
    return page


@pytest.mark.attack(line="html")
def test_the_app_with_a_hostile_link_shows_a_sentence_and_nothing_of_it_acts(
    recipe: Recipe,
) -> None:
    for case, text in BAD_LINKS.items():
        more = {name: text[:300] for name in ("sample", "step", "map")}
        page = opened("pages/export.py", recipe=text, **more)
        assert len(page.warning) == 1, case
        assert "\n" not in page.warning[0].value
        assert "kept" in " ".join(m.value for m in page.markdown)  # the page is drawn all the same
    for case in ("bomb", "image", "markdown"):
        page = opened("pages/story.py", recipe=BAD_LINKS[case], step=IMAGE)
        assert len(page.error) == 1, case


STRANGE = ["", "0", "-1", "9" * 50, "²", "٣", "NaN", IMAGE, "<script>alert(1)</script>", "a" * 5000]


def test_any_text_in_any_parameter_leaves_a_page(recipe: Recipe) -> None:
    for text in STRANGE:
        opened("pages/reader.py", sample=text, map=text, unknown=text)
        opened("pages/story.py", step=text)


INAPPLICABLE: dict[str, Any] = {
    "column": {"rules": [{"column": IMAGE, "low": 1}]},
    "policy": {"policy": IMAGE},
    "policy-params": {"policy_params": {IMAGE: IMAGE}},
    "knob": {"params": {IMAGE: IMAGE}},
    "knob-value": {"params": {"trim_low": "<b>"}},
    "budget": {"budget": IMAGE},
    "method": {"method": IMAGE},
    "map": {"distinct": {"map_id": "0" * 20}},
    "search": {"rules": [{"text": IMAGE}]},
    "among": {"rules": [{"column": "source", "values": [IMAGE, "<b>"]}]},
    "quota": {"quotas": {IMAGE: 1}},
}


@pytest.mark.attack(line="html")
def test_a_true_recipe_with_hostile_parts_is_a_sentence_or_harmless_words(recipe: Recipe) -> None:
    for case, parts in INAPPLICABLE.items():
        text = packed(json.dumps(recipe.plain() | parts))
        page = opened("pages/recipe.py", recipe=text)
        harmless = case in ("search", "among", "quota")
        assert len(page.warning) == (0 if harmless else 1), case
        if case in ("method", "search"):
            page = opened("pages/story.py", recipe=text)
            assert len(page.error) == (0 if harmless else 1), case


# manifests

MANIFESTS = {
    "yaml": LAUGHS,
    "deep": "[" * 200_000,
    "deep-in": '{"manifest": 1, "recipe": ' + "[" * 200_000,
    "digits": '{"manifest": ' + "9" * 5000 + "}",
    "list": "[]",
    "nul": "\0",
    "recipe": '{"manifest": 1, "recipe": [1], "layout": {}, "pool": 1, "files": []}',
    "bool": '{"manifest": true}',
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_is_none_is_one_line(tmp_path: Path, case: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(MANIFESTS[case], "utf8")
    with pytest.raises(ManifestError) as error:
        replay.replay(path)
    assert str(error.value).isprintable()
    with pytest.raises(HubError):
        hub.whole_export(tmp_path)


NAMES = ["../outside.txt", "/etc/passwd", "a/../../b", "..", ".", "", "sub/x", "x\0y", "link.jsonl"]


@pytest.mark.attack(line="paths")
@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_in_a_manifest_leads_nowhere(recipe: Recipe, tmp_path: Path, name: str) -> None:
    out, outside = tmp_path / "made" / "out", tmp_path / "made" / "outside.txt"
    made = export.export(recipe, export.Layout(), out)
    outside.write_text("mine", "utf8")
    (out / "link.jsonl").symlink_to(outside)
    facts = made["files"]["subset.jsonl"]
    hostile = made | {"files": {name: facts}}
    (out / "manifest.json").write_text(json.dumps(hostile), "utf8")
    before = sorted(p for p in tmp_path.rglob("*") if "cache" not in p.parts)
    with pytest.raises(HubError, match="is not there"):
        hub.whole_export(out)
    told = replay.replay(out / "manifest.json")
    assert told.differences
    after = sorted(p for p in tmp_path.rglob("*") if "cache" not in p.parts)
    assert {p.parent for p in set(after) - set(before)} <= {out, out / "replay"}
    assert outside.read_text("utf8") == "mine"
    (out / "manifest.json").write_text(json.dumps(made | {"files": {"subset.jsonl": "x"}}))
    with pytest.raises(HubError, match="changed since"):
        hub.whole_export(out)


@pytest.mark.attack(line="paths")
def test_an_export_replaces_a_link_and_never_writes_through_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside.txt"
    export.export(recipe, export.Layout(), out)
    outside.write_text("mine", "utf8")
    for name in ("subset.jsonl", "manifest.json"):
        (out / name).unlink()
        os.symlink(outside, out / name)
    export.export(recipe, export.Layout(), out)
    assert outside.read_text("utf8") == "mine"
    assert not (out / "subset.jsonl").is_symlink()
