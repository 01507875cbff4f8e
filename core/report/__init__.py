"""One HTML file that tells what was kept and why, for people without the app.

No script, no font, no picture from elsewhere: the page asks nobody for anything. It holds no
clock and no path, so equal exports have equal reports.
"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from core.domain import Sample, Turn
from core.report import charts
from core.report.charts import per_cent
from core.report.elements import el, page
from core.report.style import STYLE
from core.summary import Source, Summary

CLIPPED = 900  # characters of a turn
SOURCES = 12  # rows of sources; the others are added up

Shown = tuple[Sample, float, str]  # a sample, its score, its reason


def report(told: Summary, kept: Sequence[Shown], dropped: Sequence[Shown]) -> str:
    """The page, from the facts of a selection and some samples of either side."""
    return page(
        f"What was kept of {told.pool}",
        STYLE,
        _head(told),
        _recipe(told),
        _waterfall(told),
        _scores(told),
        _sources(told),
        _averages(told),
        _samples("Kept", "Evenly spread over the order of choice.", kept, "in"),
        _samples("Dropped", "The most frequent reasons in turn, best first.", dropped, "out"),
        _again(told),
    )


def sentence(told: Summary) -> Element:
    """What was kept, of what and by what, in one sentence."""
    return el(
        "p",
        f"Of {told.n:,} samples in ",
        el("bdi", told.pool),
        ", ",
        el("b", f"{told.kept:,}"),
        f" are kept: {per_cent(told.kept / told.n)} of the samples and ",
        f"{per_cent(told.tokens / max(told.tokens_before, 1))} of the response tokens, ",
        f"chosen by {told.method.lower()}.",
        class_="lead",
    )


def _head(told: Summary) -> Element:
    tiles = (
        (f"{told.n:,}", "samples"),
        (f"{told.scored:,}", "with a score"),
        (f"{told.kept:,}", f"kept, {per_cent(told.kept / told.n)}"),
        (f"{told.tokens:,}", f"response tokens of {told.tokens_before:,}"),
    )
    boxes = [el("div", el("b", top), el("span", under), class_="tile") for top, under in tiles]
    return el(
        "header",
        el("p", "SFTLens report", class_="eyebrow"),
        el("h1", "What was kept of ", el("bdi", told.pool)),
        sentence(told),
        el("div", *boxes, class_="tiles"),
    )


def _section(title: str, note: str, *content: "Element | None") -> Element:
    return el("section", el("h2", title), el("p", note, class_="note"), *content)


def _recipe(told: Summary) -> Element:
    steps = el("ol", *(el("li", text, dir="auto") for text in told.words))
    notes = [el("p", text, class_="note") for text in told.notes]
    note = "The recipe, in the order in which it acts."
    return _section("How it was chosen", note, steps, *notes)


def _waterfall(told: Summary) -> Element:
    note = "Every sample that is not kept has one reason. They add up to the pool."
    return _section("What each step removed", note, charts.waterfall(told.steps, told.n))


def _scores(told: Summary) -> Element:
    if told.histogram is None:
        return _section("Scores", "No sample has a score.")
    note = f"{told.scored:,} samples have a score. Higher is chosen earlier."
    drawn = el("figure", charts.histogram(told.histogram, f"score by {told.method.lower()}"))
    return _section("Scores", note, drawn, _keys(("other", "all scored"), ("kept", "kept")))


def _sources(told: Summary) -> Element:
    note = (
        "The grey band is where 95 % of random draws of the same size and lengths lie. A share in"
        " colour lies outside of it: chance does not explain it."
    )
    rows, more = told.sources[:SOURCES], told.sources[SOURCES:]
    if more:
        before, after = sum(s.before for s in more), sum(s.after for s in more)
        rows = (*rows, Source(f"{len(more):,} other sources", before, after, None))
    return _section(
        "Sources before and after",
        note,
        charts.sources(rows, told.n, told.kept),
        _keys(("kept", "share of the kept"), ("band", "random draws")),
    )


def _averages(told: Summary) -> "Element | None":
    if not told.averages:
        return None
    note = (
        "Random draws of the same size and lengths, worked out exactly."
        f" {per_cent(told.shared)} of such a draw are the kept samples themselves."
    )
    return _section("Against a random draw", note, charts.averages(told.averages))


def _keys(*items: tuple[str, str]) -> Element:
    made = [el("span", el("i", class_=f"key i-{kind}"), words) for kind, words in items]
    return el("p", *made, class_="note keys")


def _samples(title: str, note: str, rows: Sequence[Shown], side: str) -> Element:
    if not rows:
        return _section(f"{title} samples", "There are none.")
    cards = [_sample(*row, side=side) for row in rows]
    return _section(f"{title}: {len(rows)} of them", note, *cards)


def _sample(sample: Sample, score: float, reason: str, side: str) -> Element:
    score_text = f"score {charts.number(score)}" if np.isfinite(score) else "no score"
    head = el(
        "header",
        el("b", reason, dir="auto"),
        el("span", score_text),
        el("span", sample.source, dir="auto"),
        el("code", sample.sample_id),
    )
    turns = [_turn(turn) for turn in sample.turns]
    return el("article", head, *turns, class_=f"sample {side}")


def _turn(turn: Turn) -> Element:
    said = el("pre", _clipped(turn.content), dir="auto")
    return el("div", el("span", turn.role), said, class_="turn")


def _clipped(text: str) -> str:
    more = len(text) - CLIPPED
    return f"{text[:CLIPPED]}… ({more:,} more characters)" if more > 0 else text


def _again(told: Summary) -> Element:
    facts = [("recipe", told.recipe_key), ("run", told.run_id), ("pool", told.fingerprint)]
    rows = [el("tr", el("td", k, class_="name"), el("td", el("code", v))) for k, v in facts]
    rows += [
        el("tr", el("td", k.replace("_", " "), class_="name"), el("td", f"{v}"))
        for k, v in sorted(told.seeds.items())
    ]
    return _section(
        "Made again",
        "With the store that holds this run, these files can be made again byte for byte.",
        el("code", "sftlens replay manifest.json", class_="block"),
        el("table", el("tbody", *rows)),
    )
