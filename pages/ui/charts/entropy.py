"""Entropy before and after calibration."""

from typing import TYPE_CHECKING

import numpy as np

from core.histograms import density, equal_edges
from pages.ui.charts import FloatN, IntN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

DOTS = 1500  # on each side; more are shown as a sample of them, and the page says so
QUADRANTS = (
    (0.01, 0.99, "left", "top", "lost certainty"),
    (0.99, 0.99, "right", "top", "uncertain before and after"),
    (0.01, 0.01, "left", "bottom", "certain before and after"),
    (0.99, 0.01, "right", "bottom", "gained certainty"),
)


def entropy_density(
    base: FloatN,
    calibrated: FloatN,
    kept: MaskN,
    box: tuple[list[float], list[float]],
    palette: Palette,
) -> "go.Figure | None":
    """Where samples lie: entropy under the base model (x) and after calibration (y), in nats.

    Medians cut the plane into four named quadrants; on the diagonal nothing changed. Shades
    count all samples, dots are single ones: at most `DOTS` a side, evenly taken, their row in
    `customdata`. `box` holds the rules' ends on either axis.
    """
    import plotly.graph_objects as go

    finite = np.isfinite(base) & np.isfinite(calibrated)
    if not finite.any():
        return None
    x, y = base[finite], calibrated[finite]
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    pad = 0.04 * (high - low) or 0.1
    edges = equal_edges(low - pad, high + pad, 40 if len(x) < 5000 else 80)
    figure = go.Figure()
    _shades(figure, density(x, y, edges), edges, palette)
    for name, mask, colour, size in (
        ("dropped", ~kept, palette.muted, 4),
        ("kept", kept, palette.kept, 6),
    ):
        rows = evenly(np.flatnonzero(finite & mask))
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
    for draw, places in zip((figure.add_vline, figure.add_hline), box, strict=True):
        for at in places:
            draw(at, line={"color": palette.threshold, "width": 2})
    span = [edges[0], edges[-1]]
    figure.update_xaxes(title="entropy, base model (nats per response token)", range=span)
    figure.update_yaxes(title="entropy, calibrated model", range=span)
    return dressed(figure, palette, 500)


def evenly(rows: IntN) -> IntN:
    """At most `DOTS` of these rows, at equal distances."""
    return rows[:: max(1, -(-len(rows) // DOTS))]


def _shades(figure: "go.Figure", counts: IntN, edges: FloatN, palette: Palette) -> None:
    """Counts as shades by their root, so that single samples can be seen beside crowds."""
    middle = (edges[:-1] + edges[1:]) / 2
    figure.add_heatmap(
        x=middle,
        y=middle,
        z=np.sqrt(counts),
        customdata=counts,
        colorscale=[[0, palette.density[0]], [1, palette.density[1]]],
        showscale=False,
        hovertemplate="base %{x:.2f}, calibrated %{y:.2f}: %{customdata:,} samples<extra></extra>",
    )
    figure.add_scatter(
        x=edges[[0, -1]],
        y=edges[[0, -1]],
        mode="lines",
        hoverinfo="skip",
        line={"color": palette.muted, "dash": "dot", "width": 1},
        showlegend=False,
    )


def _quadrants(figure: "go.Figure", x: float, y: float, palette: Palette) -> None:
    """Median lines, and a name in each corner."""
    for draw, at in ((figure.add_vline, x), (figure.add_hline, y)):
        draw(at, line={"color": palette.grid, "width": 1.5}, layer="below")
    for cx, cy, xanchor, yanchor, text in QUADRANTS:
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
