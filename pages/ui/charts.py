"""Arrays -> plotly figures. Knows no Streamlit; plotly is imported when the first one is drawn.

One meaning a colour, on every page: kept is blue, everything else is grey, a threshold is
vermilion. All three are told apart by people with any colour vision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 3000  # more are shown as a sample of them, and the chart says so
FloatN = NDArray[np.float64]
MaskN = NDArray[np.bool_]


@dataclass(frozen=True)
class Palette:
    """The colours of one theme."""

    ink: str
    muted: str
    grid: str
    kept: str
    other: str
    threshold: str
    density: tuple[str, str]  # from empty to full


LIGHT = Palette(
    "#16202B",
    "#56636F",
    "#E6EBF0",
    "#0F62A8",
    "#B4BEC8",
    "#D1490C",
    ("rgba(86,99,111,0)", "rgba(86,99,111,0.75)"),
)
DARK = Palette(
    "#E4EAF0",
    "#9AA8B5",
    "#26313C",
    "#4FA3E3",
    "#556370",
    "#FF8A4C",
    ("rgba(154,168,181,0)", "rgba(190,202,214,0.75)"),
)


def histogram(
    value: FloatN,
    kept: MaskN,
    thresholds: Sequence[float],
    label: str,
    palette: Palette,
    bins: int = 48,
) -> "go.Figure | None":
    """Counts of a column in bins, the kept samples in front, thresholds as lines.

    None when the column holds no number.
    """
    import plotly.graph_objects as go

    finite = np.isfinite(value)
    if not finite.any():
        return None
    edges = np.histogram_bin_edges(value[finite], bins)
    middle = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure()
    for name, mask, colour in (
        ("all samples", finite, palette.other),
        ("kept", finite & kept, palette.kept),
    ):
        counts = np.histogram(value[mask], edges)[0]
        figure.add_bar(
            x=middle,
            y=counts,
            width=np.diff(edges),
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{x:.3f}} nats: %{{y:,}} {name}<extra></extra>",
        )
    for at in thresholds:
        figure.add_vline(at, line={"color": palette.threshold, "width": 2})
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title=label)
    figure.update_yaxes(title="samples", tickformat=",d")
    return _dressed(figure, palette, 210)


def entropy_density(
    base: FloatN, calibrated: FloatN, kept: MaskN, palette: Palette
) -> "go.Figure | None":
    """Where samples lie: entropy under the base model (x) and after calibration (y), in nats.

    Medians cut the plane into four named quadrants; on the diagonal nothing changed. Shades
    count all samples, dots are single ones (at most `POINTS`, evenly taken).
    """
    import plotly.graph_objects as go

    finite = np.isfinite(base) & np.isfinite(calibrated)
    if not finite.any():
        return None
    x, y = base[finite], calibrated[finite]
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    pad = 0.04 * (high - low) or 0.1
    edges = np.linspace(low - pad, high + pad, 41 if len(x) < 5000 else 81)
    counts = np.histogram2d(x, y, [edges, edges])[0].T
    middle = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure(
        go.Heatmap(
            x=middle,
            y=middle,
            z=np.sqrt(counts),
            customdata=counts,
            colorscale=[[0, palette.density[0]], [1, palette.density[1]]],
            showscale=False,
            hovertemplate="base %{x:.2f}, calibrated %{y:.2f}: %{customdata:,}<extra></extra>",
        )
    )
    figure.add_scatter(
        x=edges[[0, -1]],
        y=edges[[0, -1]],
        mode="lines",
        hoverinfo="skip",
        line={"color": palette.muted, "dash": "dot", "width": 1},
        showlegend=False,
    )
    for name, mask, colour, size in (
        ("dropped", ~kept, palette.muted, 4),
        ("kept", kept, palette.kept, 6),
    ):
        rows = np.flatnonzero(finite & mask)
        rows = rows[:: max(1, -(-len(rows) // POINTS))]
        figure.add_scatter(
            x=base[rows],
            y=calibrated[rows],
            mode="markers",
            name=name,
            customdata=rows,
            marker={"color": colour, "size": size, "opacity": 0.8},
            hovertemplate=f"{name}: base %{{x:.3f}}, calibrated %{{y:.3f}} nats<extra></extra>",
        )
    _quadrants(figure, float(np.median(x)), float(np.median(y)), palette)
    figure.update_xaxes(
        title="entropy, base model (nats per response token)", range=[edges[0], edges[-1]]
    )
    figure.update_yaxes(title="entropy, calibrated model", range=[edges[0], edges[-1]])
    return _dressed(figure, palette, 500)


def _quadrants(figure: "go.Figure", x: float, y: float, palette: Palette) -> None:
    """Median lines, and a name in each corner."""
    for draw, at in ((figure.add_vline, x), (figure.add_hline, y)):
        draw(at, line={"color": palette.grid, "width": 1.5}, layer="below")
    corners = (
        (0.01, 0.99, "left", "top", "lost certainty"),
        (0.99, 0.99, "right", "top", "uncertain before and after"),
        (0.01, 0.01, "left", "bottom", "certain before and after"),
        (0.99, 0.01, "right", "bottom", "gained certainty"),
    )
    for cx, cy, xanchor, yanchor, text in corners:
        figure.add_annotation(
            x=cx,
            y=cy,
            xref="paper",
            yref="paper",
            text=text,
            showarrow=False,
            xanchor=xanchor,
            yanchor=yanchor,
            font={"color": palette.muted, "size": 12},
        )


def shares(
    names: Sequence[str], kept: Sequence[int], total: Sequence[int], palette: Palette
) -> "go.Figure | None":
    """Kept samples of each source in front of all of them, largest source on top."""
    import plotly.graph_objects as go

    if not len(names):
        return None
    labels = [f"{k:,} of {n:,} ({100 * k / n:.1f} %)" for k, n in zip(kept, total, strict=True)]
    figure = go.Figure()
    figure.add_bar(
        y=list(names),
        x=list(total),
        orientation="h",
        name="all samples",
        marker={"color": palette.other},
        text=labels,
        textposition="outside",
        textfont={"color": palette.muted},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,} samples<extra></extra>",
    )
    figure.add_bar(
        y=list(names),
        x=list(kept),
        orientation="h",
        name="kept",
        marker={"color": palette.kept},
        hovertemplate="%{y}: %{x:,} kept<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(title="samples", tickformat=",d", range=[0, 1.5 * max(total)])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return _dressed(figure, palette, 90 + 38 * len(names))


def waterfall(steps: Sequence[tuple[str, int]], total: int, palette: Palette) -> "go.Figure | None":
    """What is left after each step: `steps` are (name, samples it removes), in order."""
    import plotly.graph_objects as go

    if not total:
        return None
    left = total - np.cumsum([0, *(n for _, n in steps)])
    names = ["all samples", *(name for name, _ in steps), "kept"]
    figure = go.Figure()
    removed = [None, *(n or None for _, n in steps), None]  # nothing removed draws no outline
    remains = [total, *left[1:].tolist(), int(left[-1])]
    colours = [palette.other] * (len(names) - 1) + [palette.kept]
    figure.add_bar(
        y=names,
        x=remains,
        orientation="h",
        marker={"color": colours},
        text=[f"{n:,}" for n in remains],
        textposition="outside",
        cliponaxis=False,
        textfont={"color": palette.muted},
        hovertemplate="%{y}: %{x:,} left<extra></extra>",
    )
    figure.add_bar(
        y=names,
        x=removed,
        base=remains,
        orientation="h",
        marker={"color": "rgba(0,0,0,0)", "line": {"color": palette.threshold, "width": 1}},
        hovertemplate="%{y}: removes %{x:,}<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0.4, showlegend=False)
    figure.update_xaxes(title="samples left", tickformat=",d", range=[0, 1.12 * total])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return _dressed(figure, palette, 100 + 40 * len(names), legend=False)


def _dressed(
    figure: "go.Figure", palette: Palette, height: int, *, legend: bool = True
) -> "go.Figure":
    """The one look of all charts."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 8, "t": 28 if legend else 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": palette.ink, "size": 13, "family": "Source Sans, sans-serif"},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        showlegend=legend,
        hoverlabel={"font": {"size": 13}},
        dragmode=False,
        uirevision="kept",
    )
    axis = {
        "gridcolor": palette.grid,
        "zerolinecolor": palette.grid,
        "automargin": True,
        "tickfont": {"color": palette.muted},
        "title_font": {"color": palette.muted, "size": 12},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure
