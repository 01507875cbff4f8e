"""The report's pictures from numbers: bars in a table, and one histogram as inline SVG."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from core.chance import Band
from core.report.elements import el
from core.summary import Histogram, Source

WIDTH, HEIGHT, FOOT, LEFT = 720, 250, 52, 58  # px of the histogram; foot and left hold the axes
RIGHT = WIDTH - 8


def track(*bars: tuple[str, float, float]) -> Element:
    """Bars (class, from, to) on a track from 0 to 1, the last one in front."""
    made = [
        el("i", class_=f"i-{kind}", style=f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%")
        for kind, low, high in bars
        if high > low
    ]
    return el("div", *made, class_="track")


def waterfall(steps: Sequence[tuple[str, int]], total: int) -> Element:
    """What is left after each step, in the order in which the recipe acts."""
    rows = [("all samples", 0, total)]
    for name, size in steps:
        rows.append((name, size, rows[-1][2] - size))
    body = [_step(*row, total) for row in rows]
    kept = rows[-1][2]
    end = el(
        "tr",
        el("td", el("b", "kept"), class_="name"),
        el("td", track(("kept", 0, kept / total)), class_="bar"),
        el("td", "", class_="n"),
        el("td", el("b", f"{kept:,}"), class_="n"),
    )
    head = _head(("step", ""), ("", ""), ("removes", "n"), ("left", "n"))
    return el("table", head, el("tbody", *body, end))


def _step(name: str, size: int, left: int, total: int) -> Element:
    bars = ("other", 0, left / total), ("gone", left / total, (left + size) / total)
    return el(
        "tr",
        el("td", name, class_="name", dir="auto"),
        el("td", track(*bars), class_="bar"),
        el("td", f"−{size:,}" if size else "", class_="n"),
        el("td", f"{left:,}", class_="n"),
    )


def sources(rows: Sequence[Source], n: int, kept: int) -> Element:
    """Each source's share before and after, over the band of matched random draws."""
    shares = [x for r in rows for x in (r.before / n, r.after / max(kept, 1))]
    shares += [r.share.high for r in rows if r.share]
    most = max(shares, default=1) or 1
    head = _head(
        ("source", ""),
        ("share of the kept", ""),
        ("before", "n"),
        ("share", "n wide"),
        ("after", "n"),
        ("share", "n"),
        ("random draw", "n wide"),
    )
    body = [_source(row, n, kept, most) for row in rows]
    return el("table", head, el("tbody", *body))


def _source(row: Source, n: int, kept: int, most: float) -> Element:
    share = row.after / max(kept, 1)
    bars = [("kept", 0.0, share / most)]
    if row.share:
        bars = [("band", row.share.low / most, row.share.high / most), *bars]
    beyond = "n beyond" if row.share and row.share.beyond else "n"
    return el(
        "tr",
        el("td", row.name, class_="name", dir="auto"),
        el("td", track(*bars), class_="bar"),
        el("td", f"{row.before:,}", class_="n"),
        el("td", per_cent(row.before / n), class_="n wide"),
        el("td", f"{row.after:,}", class_="n"),
        el("td", per_cent(share), class_=beyond),
        el("td", within(row.share), class_="n wide"),
    )


def averages(rows: Sequence[tuple[str, Band]]) -> Element:
    """Means of the kept samples against those of matched random draws."""
    head = _head(
        ("mean of the kept", ""), ("kept", "n"), ("random draw", "n wide"), ("95 % of draws", "n")
    )
    body = [
        el(
            "tr",
            el("td", name, class_="name"),
            el("td", number(b.kept), class_="n beyond" if b.beyond else "n"),
            el("td", number(b.expected), class_="n wide"),
            el("td", f"{number(b.low)} to {number(b.high)}", class_="n"),
        )
        for name, b in rows
    ]
    return el("table", head, el("tbody", *body))


def histogram(h: Histogram, label: str) -> Element:
    """Counts of a score, the kept in front, with both axes."""
    low, high, top = float(h.edges[0]), float(h.edges[-1]), int(h.all.max())
    x = [LEFT + (e - low) / (high - low) * (RIGHT - LEFT) for e in h.edges.tolist()]

    def down(count: float) -> float:
        return 8 + (1 - count / top) * (HEIGHT - FOOT - 8)

    drawn = [_line(down(y)) for y in ticks(0, top)]
    for kind, counts in (("all", h.all), ("kept", h.kept)):
        for at, count in enumerate(counts.tolist()):
            if count:
                drawn.append(_bar(kind, x[at], x[at + 1], down(count), down(0)))
    drawn += [_label(f"{y:,.0f}", LEFT - 8, down(y) + 4, "end") for y in ticks(0, top)]
    for value in ticks(low, high, 6):
        place = LEFT + (value - low) / (high - low) * (RIGHT - LEFT)
        drawn.append(_label(number(value), place, HEIGHT - FOOT + 20, "middle"))
    drawn.append(_label(label, (LEFT + RIGHT) / 2, HEIGHT - 6, "middle"))
    said = f"Histogram of {label}: {int(h.all.sum()):,} samples, {int(h.kept.sum()):,} kept"
    return el("svg", *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=said)


def _line(y: float) -> Element:
    return el("line", x1=LEFT, x2=RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="s-axis")


def _bar(kind: str, left: float, right: float, top: float, foot: float) -> Element:
    box = {"x": left + 0.5, "y": top, "width": max(right - left - 1, 0.5), "height": foot - top}
    return el("rect", class_=f"s-{kind}", **{k: f"{v:.1f}" for k, v in box.items()})


def _label(text: str, x: float, y: float, anchor: str) -> Element:
    return el("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers between low and high: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * s for s in (1, 2, 5, 10) if span / (power * s) <= most)
    first, last = np.ceil(low / step), np.floor(high / step)
    return [float(round(k * step, 12)) for k in np.arange(first, last + 1)]


def number(value: float) -> str:
    """Four digits, with separators where they are many and a true minus."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def per_cent(share: float) -> str:
    """0.125 as "12.5 %"."""
    return f"{100 * share:.1f} %"


def within(band: Band | None) -> str:
    """A band of shares as "8.0 % to 12.1 %"."""
    return f"{per_cent(band.low)} to {per_cent(band.high)}" if band else "–"


def _head(*cells: tuple[str, str]) -> Element:
    made = [el("th", text, scope="col", class_=kind or "t") for text, kind in cells]
    return el("thead", el("tr", *made))
