"""Clusters as bars under the level of equal filling, and one sample over its cluster's curve."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.curve_shapes import Ribbons
from pages.ui.charts import FloatN, IntN, Palette, dressed
from pages.ui.charts.trajectories import STEP, colour, ribbon, steps

if TYPE_CHECKING:
    import plotly.graph_objects as go

BARS = 200  # clusters that the filling shows


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
    figure = go.Figure()
    for name, size, fill in (("all samples", pool, palette.other), ("kept", kept, palette.kept)):
        figure.add_bar(
            x=np.arange(len(group))[:BARS],
            y=size[:BARS],
            name=name,
            customdata=group[:BARS],
            text=list(shapes)[:BARS],
            textposition="none",
            marker={"color": fill, "line": {"width": 0}},
            hovertemplate=f"cluster %{{customdata}}, %{{text}}: %{{y:,}} {unit}, {name}"
            "<extra></extra>",
        )
    if np.isfinite(level):
        _level(figure, level, palette)
    figure.update_layout(barmode="overlay", bargap=0.18)
    ticks = {"tickvals": np.arange(len(group)), "ticktext": group} if len(group) <= 30 else {}
    figure.update_xaxes(title="cluster, the largest first", showgrid=False, **ticks)
    figure.update_yaxes(title=unit, tickformat=",d")
    return dressed(figure, palette, 320)


def _level(figure: "go.Figure", level: float, palette: Palette) -> None:
    """The water level, with its number."""
    figure.add_hline(
        level,
        line={"color": palette.threshold, "width": 2},
        annotation={
            "text": f"water level {level:,.0f}" if level >= 10 else f"water level {level:.1f}",
            "font": {"color": palette.threshold},
            "bgcolor": palette.background,
            "opacity": 0.9,
        },
        annotation_position="top right",
    )


def one_curve(
    curve: FloatN, found: Ribbons, row: int, shape: str, palette: Palette
) -> "go.Figure | None":
    """One sample's losses over the ribbon of its cluster; None where it has none."""
    import plotly.graph_objects as go

    if not np.isfinite(curve).all():
        return None
    figure, own = go.Figure(), colour(shape, palette)
    ribbon(figure, found, row, own)
    for name, y, line in (
        ("median of the cluster", found.middle[row], {"color": own, "width": 2}),
        ("this sample", curve, {"color": palette.ink, "width": 3}),
    ):
        figure.add_scatter(
            x=steps(len(curve)),
            y=y,
            mode="lines+markers",
            name=name,
            line=line,
            hovertemplate=f"{name}, %{{x:.0f}} %: %{{y:.3f}} nats<extra></extra>",
        )
    figure.update_xaxes(title=STEP)
    figure.update_yaxes(title="loss (nats per response token)")
    return dressed(figure, palette, 320)
