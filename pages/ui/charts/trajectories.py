"""Loss curves by cluster, in small multiples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.curve_shapes import NAMES, Ribbons
from pages.ui.charts import FloatN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLUMNS = 4  # panels in a row
PANEL_HEIGHT = 178
COLOURS = dict(zip(NAMES, (7, 1, 3, 6, 4), strict=True))  # a shape's place among the categories
STEP = "training done (%)"


@dataclass(frozen=True)
class Panel:
    """One cluster's panel: its row among the ribbons, and what is said above it."""

    row: int
    shape: str
    title: str
    shares: str


def colour(shape: str, palette: Palette) -> str:
    """The colour of a shape."""
    return palette.categories[COLOURS[shape]]


def small_multiples(
    found: Ribbons, panels: Sequence[Panel], pool: FloatN, palette: Palette
) -> "go.Figure | None":
    """A panel a cluster: its median loss and the middle half of its samples, the pool's dotted.

    All panels span equally many nats, so that slopes can be compared; their levels differ. A
    point's `customdata` is the number of its cluster.
    """
    if not panels:
        return None
    figure, rows = _grid(panels, palette)
    shown = [panel.row for panel in panels]
    span = 1.08 * float((found.high[shown].max(1) - found.low[shown].min(1)).max()) or 1.0
    for k, panel in enumerate(panels):
        place = {"row": k // COLUMNS + 1, "col": k % COLUMNS + 1}
        middle = (found.high[panel.row].max() + found.low[panel.row].min()) / 2
        figure.update_yaxes(range=[middle - span / 2, middle + span / 2], nticks=4, **place)
        ribbon(figure, found, panel.row, colour(panel.shape, palette), **place)
        _median(figure, found, panel, palette, place)
        figure.add_scatter(
            x=steps(len(pool)),
            y=pool - pool[0] + found.middle[panel.row][0],
            mode="lines",
            hoverinfo="skip",
            line={"color": palette.muted, "dash": "dot", "width": 1.2},
            **place,
        )
    first = steps(len(pool))[0]
    figure.update_xaxes(range=[first - 0.06 * (100 - first), 100 + 0.06 * (100 - first)], nticks=5)
    figure.update_yaxes(title="loss (nats)", col=1)
    dressed(figure, palette, PANEL_HEIGHT * rows + 60, legend=False)
    return figure.update_layout(margin={"t": 46, "l": 8, "r": 8, "b": 8}, hovermode="closest")


def _grid(panels: Sequence[Panel], palette: Palette) -> "tuple[go.Figure, int]":
    """Empty panels with their titles at the left, and how many rows there are."""
    from plotly.subplots import make_subplots

    rows = -(-len(panels) // COLUMNS)
    figure = make_subplots(
        rows,
        COLUMNS,
        shared_xaxes=True,
        horizontal_spacing=0.045,
        vertical_spacing=0.34 / rows,
        subplot_titles=[f"<b>{p.title}</b><br>{p.shares}" for p in panels],
    )
    figure.update_annotations(
        font={"size": 12, "color": palette.ink}, xanchor="left", align="left", yshift=2
    )
    for k in range(len(panels)):
        place = {"row": k // COLUMNS + 1, "col": k % COLUMNS + 1}
        figure.layout.annotations[k].x = figure.get_subplot(**place).xaxis.domain[0]
        if k >= len(panels) - COLUMNS:  # nothing stands below it
            figure.update_xaxes(showticklabels=True, title=STEP, **place)
    for k in range(len(panels), rows * COLUMNS):
        place = {"row": k // COLUMNS + 1, "col": k % COLUMNS + 1}
        figure.update_xaxes(visible=False, **place)
        figure.update_yaxes(visible=False, **place)
    return figure, rows


def _median(
    figure: "go.Figure", found: Ribbons, panel: Panel, palette: Palette, place: dict[str, int]
) -> None:
    own, t = colour(panel.shape, palette), found.middle.shape[1]
    figure.add_scatter(
        x=steps(t),
        y=found.middle[panel.row],
        mode="lines+markers",
        line={"color": own, "width": 2.4},
        marker={"size": 8, "color": own},
        customdata=np.full(t, found.group[panel.row]),
        hovertemplate=f"{panel.title}<br>%{{x:.0f}} %: %{{y:.3f}} nats<extra></extra>",
        **place,
    )


def ribbon(figure: "go.Figure", found: Ribbons, k: int, colour: str, **place: Any) -> None:
    """The middle half of the k-th cluster's samples, from 25 % to 75 %, as an area."""
    x = steps(found.middle.shape[1])
    figure.add_scatter(
        x=np.r_[x, x[::-1]],
        y=np.r_[found.high[k], found.low[k][::-1]],
        fill="toself",
        fillcolor=clear(colour, 0.22),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="middle half of the cluster",
        **place,
    )


def steps(t: int) -> FloatN:
    """Share of the training that is done at each of t checkpoints, in per cent."""
    return 100.0 * (1 + np.arange(t)) / t


def clear(colour: str, opacity: float) -> str:
    """A colour #rrggbb that lets others through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
