"""A map where the browser has no WebGL: counts in cells, and the kept samples over them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 3000  # samples of either kind drawn as dots; of more, as many evenly taken
CELLS = 120  # along each axis


def density(
    x: FloatN,
    y: FloatN,
    kept: MaskN,
    outlines: Sequence[Sequence[tuple[float, float]]],
    palette: Palette,
    height: int,
) -> "go.Figure | None":
    """All samples as dots, or as shades (n per cell) and some of them as dots; lassos as lines.

    `x`, `y` (n,) map coordinates, NaN for none; a dot's customdata is its row. None when no
    sample has a place.
    """
    import plotly.graph_objects as go

    placed = np.isfinite(x) & np.isfinite(y)
    if not placed.any():
        return None
    many = placed.sum() > POINTS  # so few can all be seen as dots
    figure = go.Figure(_shades(x[placed], y[placed], palette) if many else None)
    sides = (("not kept", ~kept, palette.other, 4), ("kept", kept, palette.kept, 6))
    for name, side, colour, size in sides:
        rows = np.flatnonzero(side & placed)
        rows = rows[:: -(-len(rows) // POINTS)] if len(rows) else rows
        figure.add_scatter(
            x=x[rows],
            y=y[rows],
            mode="markers",
            name=name,
            customdata=rows,
            marker={"color": colour, "size": size, "opacity": 0.8},
            hovertemplate=f"{name}, row %{{customdata:,}}<extra></extra>",
        )
    for outline in outlines:
        along, up = zip(*outline, outline[0], strict=True)
        line = {"color": palette.threshold, "dash": "dot", "width": 1.5}
        figure.add_scatter(
            x=along, y=up, mode="lines", line=line, hoverinfo="skip", showlegend=False
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return dressed(figure, palette, height).update_layout(dragmode="lasso")


def _shades(x: FloatN, y: FloatN, palette: Palette) -> Any:
    """How many samples lie in each cell, the root of it as a shade."""
    import plotly.graph_objects as go

    counts, along, up = np.histogram2d(x, y, CELLS)
    return go.Heatmap(
        x=(along[:-1] + along[1:]) / 2,
        y=(up[:-1] + up[1:]) / 2,
        z=np.sqrt(counts.T),
        colorscale=[[0, palette.density[0]], [1, palette.density[1]]],
        showscale=False,
        hoverinfo="skip",
    )
