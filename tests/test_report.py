"""The report and the card of an export: true numbers, nothing from elsewhere, text as text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from calls import METHOD, jsonl, rows

from core import dataset_card, export, pools, runs, summary
from core.domain import RunSpec
from core.export import Layout
from core.recipe import Pin, Recipe
from core.report import charts, elements
from core.rules import Among, Range
from core.selection import select

EVIL = (
    "</pre><script>alert(1)</script><img src=x onerror=alert(2)> [a](javascript:alert(3)) `|` <b>"
)
SOURCE = "a|b<script>alert(4)</script>[x](http://evil.example)"
TALKS = [
    {"instruction": EVIL, "output": f"{EVIL}\x00\x1b[31m\u202egnol\u2066", "source": SOURCE},
    {"instruction": "ترجم: صباح الخير", "output": "בוקר טוב", "source": "عربي"},
    {"instruction": "long", "output": "word " * 4000, "source": "long"},
]
LAYOUT = Layout("messages", extras=True, rejected=True)


class Page(HTMLParser):
    """What a browser makes of the page: elements with attributes, and text by enclosing class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.style = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    pools.import_files([jsonl(tmp_path / "pool.jsonl", [*rows(60), *TALKS])], "pool")
    run = runs.execute(RunSpec("pool", METHOD, {"trim_low": 0.0}, "fake", "cpu")).run
    return Recipe(pool="pool", method=METHOD, run_id=run.run_id, budget="30%")


@pytest.fixture
def everything(recipe: Recipe) -> Recipe:
    """Keeps the three odd samples by hand, whatever their scores."""
    ids = select(recipe).ids
    pins = tuple(Pin(sample_id=ids[row], keep=True) for row in (60, 61, 62))
    return recipe.model_copy(update={"pins": pins, "budget": "3"})


def written(recipe: Recipe, out: Path) -> tuple[Page, str, dict[str, Any]]:
    made = export.export(recipe, LAYOUT, out)
    page = Page((out / "report.html").read_text("utf8"))
    return page, (out / "README.md").read_text("utf8"), made


@pytest.mark.attack(line="html")
def test_the_report_asks_nobody_for_anything_and_runs_nothing(
    everything: Recipe, tmp_path: Path
) -> None:
    page, _, _ = written(everything, tmp_path / "out")
    names = {name for name, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "img", "a", "form", "base"}
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not attributes & {"src", "href", "action", "srcset", "background", "formaction"}
    assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|expression", page.style)
    (policy,) = (a["content"] for n, a in page.tags if a.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_what_a_sample_says_is_shown_as_it_is_written(everything: Recipe, tmp_path: Path) -> None:
    page, _, _ = written(everything, tmp_path / "out")
    assert EVIL in page.texts
    assert any(text.startswith(EVIL + "␀␛[31m�gnol�") for text in page.texts)
    assert SOURCE in page.texts
    assert "ترجم: صباح الخير" in page.texts
    assert "19,100 more characters" in page.text


def test_the_numbers_of_the_report_are_those_of_the_manifest(
    recipe: Recipe, tmp_path: Path
) -> None:
    rule = Range(column="n_tokens", low=4)
    page, card, made = written(recipe.model_copy(update={"rules": (rule,)}), tmp_path / "out")
    counts = made["counts"]
    kept, n = counts["samples"], made["pool"]["samples"]
    assert f"Of {n:,} samples in pool, {kept:,} are kept: {100 * kept / n:.1f} %" in page.text
    assert f"{counts['response_tokens']:,}" in page.texts
    assert len(counts["by_reason"]) > 2
    for reason, size in counts["by_reason"].items():
        assert reason in page.texts
        assert f"| {dataset_card.plain(reason)} | {size:,} |" in card
        if reason != "kept":
            assert f"−{size:,}" in page.texts
    facts = made["files"]["subset.jsonl"]
    assert f"| `subset.jsonl` | {kept} | {facts['bytes']:,} | `{facts['sha256']}` |" in card
    for text in (page.text, card):
        assert made["recipe_key"] in text
        assert made["run"]["run_id"] in text
        assert made["pool"]["fingerprint"] in text


def test_five_of_either_side_are_shown_with_their_reasons(recipe: Recipe, tmp_path: Path) -> None:
    page, _, _ = written(recipe, tmp_path / "out")
    sides = [a["class"] for n, a in page.tags if n == "article"]
    assert sides == ["sample in"] * 5 + ["sample out"] * 5
    selection = select(recipe)
    kept, dropped = summary.shown(selection)
    assert kept[0] == selection.subset.chosen[0]
    assert kept[-1] == selection.subset.chosen[-1]
    assert not selection.subset.mask[dropped].any()
    reasons = set(selection.subset.reason[dropped])
    assert reasons == set(selection.subset.counts()) - {"kept"}


def test_counts_by_source_and_by_score_add_up(recipe: Recipe) -> None:
    selection = select(recipe)
    told = summary.summarise(selection)
    assert sum(s.before for s in told.sources) == told.n == 63
    assert sum(s.after for s in told.sources) == told.kept
    assert told.kept + sum(size for _, size in told.steps) == told.n
    assert told.histogram is not None
    assert (int(told.histogram.all.sum()), int(told.histogram.kept.sum())) == (
        told.scored,
        told.kept,
    )
    for source in told.sources:
        assert source.share is not None
        assert source.share.kept == pytest.approx(source.after / told.kept)


def test_equal_exports_have_equal_texts_and_name_no_place_on_this_machine(
    recipe: Recipe, tmp_path: Path
) -> None:
    one, two = (export.export(recipe, LAYOUT, tmp_path / name) for name in ("a", "b"))
    assert one == two
    for name in one["files"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "a" / name).read_bytes()


@pytest.mark.parametrize("budget", ["100%", "1"])
def test_an_empty_subset_and_a_subset_of_one_have_a_report(
    budget: str, recipe: Recipe, tmp_path: Path
) -> None:
    rules = () if budget == "1" else (Range(column="n_tokens", low=1e9),)
    changed = recipe.model_copy(update={"budget": budget, "rules": rules})
    page, card, made = written(changed, tmp_path / "out")
    kept = made["counts"]["samples"]
    assert kept == len(rules) ^ 1
    assert f"{kept} are kept" in page.text
    assert ("There are none." in page.text) == (not kept)
    assert ("nothing to compare" in card) == (not kept)


def test_the_recipe_is_told_in_words(recipe: Recipe, tmp_path: Path) -> None:
    ids = select(recipe).ids
    changed = recipe.model_copy(
        update={
            "params": {"trim_high": 0.2},
            "rules": (Among(column="source", values=("sums", "steps")),),
            "quotas": {"sums": 3},
            "pins": (Pin(sample_id=ids[0], keep=True), Pin(sample_id=ids[1], keep=False)),
            "budget": "200 tokens",
        }
    )
    page, card, _ = written(changed, tmp_path / "out")
    for words in (
        "Score every sample by Differential entropy, InstructDiff (arXiv 2601.23006), measured by",
        "Set trim high to 0.2, not 0.1.",
        "Drop whatever fails: source sums, steps.",
        "Drop 1 that a person chose to drop.",
        "Keep 1 that a person chose to keep, first of all.",
        "Take at most 3 from sums.",
        "Of what is left take “Highest scores” until 200 response tokens are taken.",
    ):
        assert words in page.text
        assert dataset_card.plain(words) in card


def test_the_cards_head_is_yaml_that_names_each_file_and_no_licence(
    everything: Recipe, tmp_path: Path
) -> None:
    _, card, _ = written(everything, tmp_path / "out")
    head = yaml.safe_load(card.split("---")[1])
    assert "license" not in head
    assert [c["config_name"] for c in head["configs"]] == ["default", "rejected"]
    paths = [c["data_files"][0]["path"] for c in head["configs"]]
    assert all((tmp_path / "out" / path).is_file() for path in paths)
    assert head["pretty_name"] == "pool, 3 of 63 samples"


@pytest.mark.attack(line="html")
def test_nothing_that_a_person_named_is_markup_in_the_card(
    everything: Recipe, tmp_path: Path
) -> None:
    _, card, _ = written(everything, tmp_path / "out")
    line = next(line for line in card.splitlines() if "evil" in line)
    bare = re.sub(r"\\.", "", line)
    assert bare.count("|") == 6  # five cells, whatever the source is called
    assert not re.search(r"[<>\[\]`]", bare)
    assert "http:" not in bare


@pytest.mark.parametrize(
    "text", ["\x00\x07\x1b", "\u202eabc\u2069", "\x85\x9f", "\r\nx\ty", "\ufffe", "a\x7fb"]
)
def test_no_control_character_reaches_the_page(text: str) -> None:
    shown = elements.visible(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", shown)
    assert json.loads(json.dumps(shown)).encode("utf8")


@pytest.mark.parametrize(
    ("low", "high", "most"), [(0, 9, 4), (0, 1, 4), (-0.24, 0.2, 6), (0, 16153, 4), (3, 3, 4)]
)
def test_ticks_are_few_round_and_inside(low: float, high: float, most: int) -> None:
    found = charts.ticks(low, high, most)
    assert 1 <= len(found) <= most + 1
    assert all(low <= t <= high for t in found)
    steps = np.diff(found)
    assert len(found) < 2 or np.allclose(steps, steps[0])
    for step in steps[:1]:
        assert round(step / 10 ** np.floor(np.log10(step) + 1e-9), 6) in (1, 2, 5)


def test_a_histogram_draws_a_bar_for_each_bin_that_is_not_empty() -> None:
    value = np.array([0.0, 0.1, 0.1, 0.5, 1.0, np.nan])
    made = summary.histogram(value, np.array([0, 0, 1, 0, 1, 1], bool), 10)
    assert made is not None
    drawn = Page(elements.page("t", "", charts.histogram(made, "score")))
    classes = [a["class"] for n, a in drawn.tags if n == "rect"]
    assert classes == ["s-all"] * 4 + ["s-kept"] * 2
    assert summary.histogram(np.array([np.nan]), np.array([True])) is None
