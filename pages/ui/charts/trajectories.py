"""Loss curves by cluster, how clusters are filled, and one sample among its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.curve_shapes import NAMES, Ribbons
from pages.ui.charts import FloatN, IntN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLUMNS = 4  # panels in a row
PANEL_HEIGHT = 178
BARS = 200  # clusters that the filling shows
COLOURS = dict(zip(NAMES, (7, 1, 3, 6, 4), strict=True))  # a shape's place among the categories
STEP = "training done (%)"
LOSS = "loss (nats per response token)"


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
    """A panel a cluster: its median loss and the middle half of its samples, the pool's in grey.

    All panels span equally many nats, so that slopes can be compared; their levels differ. A
    point's `customdata` is the number of its cluster.
    """
    from plotly.subplots import make_subplots

    if not panels:
        return None
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
    shown = [p.row for p in panels]
    span = 1.08 * float((found.high[shown].max(1) - found.low[shown].min(1)).max()) or 1.0
    for k, panel in enumerate(panels):
        place = {"row": k // COLUMNS + 1, "col": k % COLUMNS + 1}
        middle = (found.high[panel.row].max() + found.low[panel.row].min()) / 2
        figure.update_yaxes(range=[middle - span / 2, middle + span / 2], nticks=4, **place)
        _ribbon(figure, found, panel, palette, place)
        moved = pool - pool[0] + found.middle[panel.row][0]
        figure.add_scatter(
            x=_steps(len(pool)),
            y=moved,
            mode="lines",
            hoverinfo="skip",
            line={"color": palette.muted, "dash": "dot", "width": 1.2},
            **place,
        )
        axis = figure.get_subplot(**place).xaxis
        figure.layout.annotations[k].x = axis.domain[0]
    figure.update_xaxes(range=[0, 103], nticks=4, ticksuffix=" %")
    for k in range(max(0, len(panels) - COLUMNS), len(panels)):
        figure.update_xaxes(
            showticklabels=True, title=STEP, row=k // COLUMNS + 1, col=k % COLUMNS + 1
        )
    figure.update_yaxes(title="loss (nats)", col=1)
    figure = dressed(figure, palette, PANEL_HEIGHT * rows + 60, legend=False)
    return figure.update_layout(margin={"t": 46, "l": 8, "r": 8, "b": 8}, hovermode="closest")


def _ribbon(
    figure: "go.Figure", found: Ribbons, panel: Panel, palette: Palette, place: dict[str, int]
) -> None:
    """The middle half of a cluster's samples, and their median on it."""
    steps, k = _steps(found.middle.shape[1]), panel.row
    own = colour(panel.shape, palette)
    figure.add_scatter(
        x=np.r_[steps, steps[::-1]],
        y=np.r_[found.high[k], found.low[k][::-1]],
        fill="toself",
        fillcolor=_clear(own, 0.22),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        **place,
    )
    figure.add_scatter(
        x=steps,
        y=found.middle[k],
        mode="lines+markers",
        line={"color": own, "width": 2.4},
        marker={"size": 8, "color": own},
        customdata=np.full(len(steps), found.group[k]),
        hovertemplate=f"{panel.title}<br>%{{x:.0f}} %: %{{y:.3f}} nats<extra></extra>",
        **place,
    )


def filling(
    group: IntN,
    pool: FloatN,
    kept: FloatN,
    level: float,
    shapes: Sequence[str],
    unit: str,
    palette: Palette,
) -> "go.Figure | None":
    """What each cluster holds and what the recipe keeps of it, and the level of equal filling.

    A bar's `customdata` is the number of its cluster. At most `BARS` clusters, the largest.
    """
    import plotly.graph_objects as go

    if not len(group):
        return None
    shown = slice(0, BARS)
    figure = go.Figure()
    for name, size, fill in (
        ("all samples", pool, palette.other),
        ("kept", kept, palette.kept),
    ):
        figure.add_bar(
            x=np.arange(len(group))[shown],
            y=size[shown],
            name=name,
            customdata=group[shown],
            text=list(shapes)[shown],
            textposition="none",
            marker={"color": fill, "line": {"width": 0}},
            hovertemplate=f"cluster %{{customdata}}, %{{text}}: %{{y:,}} {unit} {name}"
            "<extra></extra>",
        )
    if np.isfinite(level):
        figure.add_hline(
            level,
            line={"color": palette.threshold, "width": 2},
            annotation={
                "text": f"water level {level:,.0f}" if level >= 10 else f"water level {level:.1f}",
                "font": {"color": palette.threshold},
            },
            annotation_position="top right",
        )
    figure.update_layout(barmode="overlay", bargap=0.18)
    ticks = {"tickvals": np.arange(len(group)), "ticktext": group} if len(group) <= 30 else {}
    figure.update_xaxes(title="cluster, the largest first", showgrid=False, **ticks)
    figure.update_yaxes(title=unit, tickformat=",d")
    return dressed(figure, palette, 300)


def one_curve(
    curve: FloatN, found: Ribbons, row: int, shape: str, palette: Palette
) -> "go.Figure | None":
    """One sample's losses over the ribbon of its cluster; None where it has none."""
    import plotly.graph_objects as go

    if not np.isfinite(curve).all():
        return None
    figure = go.Figure()
    own, steps = colour(shape, palette), _steps(len(curve))
    figure.add_scatter(
        x=np.r_[steps, steps[::-1]],
        y=np.r_[found.high[row], found.low[row][::-1]],
        fill="toself",
        fillcolor=_clear(own, 0.22),
        line={"width": 0},
        mode="lines",
        name="middle half of the cluster",
        hoverinfo="skip",
    )
    for name, y, line in (
        ("median of the cluster", found.middle[row], {"color": own, "width": 2}),
        ("this sample", curve, {"color": palette.ink, "width": 3}),
    ):
        figure.add_scatter(
            x=steps,
            y=y,
            mode="lines+markers",
            name=name,
            line=line,
            hovertemplate=f"{name}, %{{x:.0f}} %: %{{y:.3f}} nats<extra></extra>",
        )
    figure.update_xaxes(title=STEP, range=[0, 103], ticksuffix=" %")
    figure.update_yaxes(title=LOSS)
    return dressed(figure, palette, 300)


def _steps(t: int) -> FloatN:
    """Share of the training that is done at each of t checkpoints, in per cent."""
    return 100.0 * (1 + np.arange(t)) / t


def _clear(colour: str, opacity: float) -> str:
    """A colour #rrggbb that lets others through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
