"""Entropy before and after calibration."""

from typing import TYPE_CHECKING

import numpy as np

from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go


POINTS = 3000  # more are shown as a sample of them, and the chart says so


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
    return dressed(figure, palette, 500)


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
