"""Two recipes beside each other: A is blue, B is green, what chance does is grey."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.comparison import Gap, Overlap
from pages.ui.charts import FloatN, IntN, Palette, dressed
from pages.ui.charts.labels import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_BINS = 36


def overlap(found: Overlap, palette: Palette) -> "go.Figure | None":
    """Only A, both, only B as one bar; under it the same for two random draws as large."""
    import plotly.graph_objects as go

    if not found.only_a + found.both + found.only_b:
        return None
    chance = found.by_chance
    size_a, size_b = found.only_a + found.both, found.only_b + found.both
    rows = ["A and B", "by chance"]
    both = {"shape": "/", "bgcolor": palette.kept, "fgcolor": palette.rival, "size": 8}
    figure = go.Figure()
    for name, counts, colour, extra in (
        ("only A", (found.only_a, size_a - chance), palette.kept, {}),
        ("both", (found.both, chance), palette.kept, {"pattern": both}),
        ("only B", (found.only_b, size_b - chance), palette.rival, {}),
    ):
        figure.add_bar(
            y=rows,
            x=list(counts),
            orientation="h",
            name=name,
            marker={"color": colour, "opacity": [1, 0.35], "line": {"width": 0}, **extra},
            text=[f"{counts[0]:,}" if counts[0] > 0.1 * (size_a + size_b) else "", ""],
            textangle=0,
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": "#FFFFFF"},
            hovertemplate=f"%{{y}}: %{{x:,.4~g}} {name}<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.35, legend={"traceorder": "normal"})
    figure.update_xaxes(title="samples", tickformat=",d")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return dressed(figure, palette, 165)


def shift(
    names: Sequence[str], gap: Gap, words: Sequence[str], palette: Palette
) -> "go.Figure | None":
    """Difference of each share in percentage points, A − B, over the band that chance makes."""
    import plotly.graph_objects as go

    if not len(names) or not np.isfinite(gap.reach).all():
        return None
    rows, points = list(range(len(names))), 100 * gap.difference
    colour = np.where(points > 0, palette.kept, palette.rival)
    figure = go.Figure()
    figure.add_bar(
        y=rows,
        x=200 * gap.reach,
        base=-100 * gap.reach,
        orientation="h",
        name="by chance, 95 of 100",
        marker={"color": palette.other, "opacity": 0.45},
        hovertemplate="chance stays within ±%{customdata:.1f} points<extra></extra>",
        customdata=100 * gap.reach,
    )
    for name, shown, symbol in (
        ("clear", gap.clear, "circle"),
        ("noise", ~gap.clear, "circle-open"),
    ):
        at = np.flatnonzero(shown)
        figure.add_scatter(
            y=at,
            x=points[at],
            mode="markers",
            name=name,
            marker={
                "symbol": symbol,
                "size": 11,
                "color": colour[at].tolist() if name == "clear" else palette.muted,
                "line": {"width": 2 if name == "noise" else 0},
            },
            text=[words[i] for i in at.tolist()],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.add_vline(0, line={"color": palette.muted, "width": 1})
    figure.update_layout(bargap=0.45)
    figure.update_xaxes(title="← more in B · percentage points · more in A →", ticksuffix="")
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=rows, ticktext=[label(n, 24) for n in names]
    )
    return dressed(figure, palette, 100 + 30 * len(names))


def lengths(subsets: Mapping[str, FloatN], palette: Palette) -> "go.Figure | None":
    """Response lengths of A, B and the rest of `subsets` as outlines, each in per cent of itself.

    The bins are equal in the logarithm: lengths spread over orders of magnitude.
    """
    import plotly.graph_objects as go

    whole = np.concatenate([np.asarray(v, float) for v in subsets.values()] or [np.empty(0)])
    whole = whole[np.isfinite(whole) & (whole > 0)]
    if not len(whole):
        return None
    top = whole.max() * 1.02 if whole.max() > whole.min() else whole.max() * 1.5
    bins = int(np.clip(2 * np.sqrt(len(whole) / len(subsets)), 8, MOST_BINS))
    edges = np.unique(np.round(np.geomspace(whole.min(), top, bins + 1), 6))
    styles = [
        {"color": palette.kept, "width": 2.5},
        {"color": palette.rival, "width": 2.5},
        {"color": palette.muted, "width": 1.5, "dash": "dot"},
    ]
    figure = go.Figure()
    for (name, values), line in zip(subsets.items(), styles, strict=False):
        counts = np.histogram(values[np.isfinite(values)], edges)[0]
        figure.add_scatter(
            x=edges,
            y=np.append(100 * counts / max(counts.sum(), 1), 0),
            mode="lines",
            name=name,
            line={**line, "shape": "hv"},
            hovertemplate=f"from %{{x:,.0f}} tokens: %{{y:.1f}} % of {name}<extra></extra>",
        )
    figure.update_xaxes(title="response tokens (log scale)", type="log", tickformat=",d", nticks=6)
    figure.update_yaxes(title="% of the subset", rangemode="tozero")
    return dressed(figure, palette, 250)


def by_budget(
    budget: IntN, alike: FloatN, chance: FloatN, now: int, palette: Palette
) -> "go.Figure | None":
    """Jaccard index of the tops of both rankings over the budget, and that of random draws."""
    import plotly.graph_objects as go

    if not len(budget) or not np.isfinite(alike).any():
        return None
    share = 100 * budget / budget[-1]
    figure = go.Figure()
    for name, values, line in (
        ("A and B", alike, {"color": palette.kept, "width": 2.5}),
        ("two random orders", chance, {"color": palette.muted, "width": 1.5, "dash": "dot"}),
    ):
        figure.add_scatter(
            x=share,
            y=values,
            mode="lines",
            name=name,
            line=line,
            customdata=budget,
            hovertemplate=f"best %{{customdata:,}} ({name}): %{{y:.2f}}<extra></extra>",
        )
    figure.add_vline(100 * now / budget[-1], line={"color": palette.threshold, "width": 2})
    figure.update_xaxes(title="budget, % of the pool", range=[0, 100], ticksuffix=" %")
    figure.update_yaxes(title="Jaccard index", range=[0, 1.04])
    return dressed(figure, palette, 250)
