"""The pictures of the Story: places of samples, and shares against chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.chance import Band
from pages.ui.charts import FloatN, MaskN, Palette, dressed
from pages.ui.charts.labels import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

MARKS = 5000  # dots at most; of more, a seeded draw
SEED = 0


def places(x: FloatN, y: FloatN, kept: MaskN, palette: Palette) -> "go.Figure | None":
    """Samples on a map (n,), the kept in colour over the others; None without places."""
    import plotly.graph_objects as go

    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(rows):
        return None
    if len(rows) > MARKS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MARKS, replace=False))
    figure = go.Figure()
    size = 9 if len(rows) < 500 else 5
    for name, mask, colour, more in (
        ("not kept", ~kept[rows], palette.other, {"opacity": 0.6, "size": size}),
        ("kept", kept[rows], palette.kept, {"size": size + 2}),
    ):
        figure.add_scatter(
            x=x[rows[mask]],
            y=y[rows[mask]],
            mode="markers",
            name=name,
            marker={"color": colour, "line": {"width": 0}, **more},
            hoverinfo="skip",
        )
    dressed(figure, palette, 380)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def against_chance(
    names: Sequence[str], bands: Sequence[Band], palette: Palette
) -> "go.Figure | None":
    """Each source's share of the kept as a dot, over the band in which 95 % of draws lie."""
    import plotly.graph_objects as go

    if not len(names):
        return None
    figure, shown = go.Figure(), [label(name, 18) for name in names]
    figure.add_bar(
        y=shown,
        x=[100 * (b.high - b.low) for b in bands],
        base=[100 * b.low for b in bands],
        orientation="h",
        name="95 % of random draws",
        marker={"color": palette.grid, "line": {"color": palette.other, "width": 1}},
        width=0.5,
        hoverinfo="skip",
    )
    figure.add_scatter(
        y=shown,
        x=[100 * b.kept for b in bands],
        mode="markers",
        name="kept",
        marker={
            "color": palette.kept,
            "size": 13,
            "line": {"color": palette.background, "width": 2},
        },
        hovertemplate="%{y}: %{x:.1f} % of the kept<extra></extra>",
    )
    figure.update_xaxes(title="share of the samples (%)", rangemode="tozero", ticksuffix=" %")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return dressed(figure, palette, 110 + 38 * len(names))
