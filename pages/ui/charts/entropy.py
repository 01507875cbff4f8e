"""Entropy before and after calibration."""

from typing import TYPE_CHECKING

import numpy as np

from core.histograms import density, equal_edges, quarters
from pages.ui.charts import FloatN, IntN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

DOTS = 700  # on each side; more are shown as a sample of them, and the page says so
MANY = 5000  # samples whose shades are finer, and whose few extremes count at the rim
NAMES = (  # [above or below the median of y][left or right of the median of x]
    ("certain before and after", "gained certainty"),
    ("lost certainty", "uncertain before and after"),
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
    count all samples, those beyond the axes at the rim; dots are single ones: at most `DOTS` a
    side, evenly taken, their row in `customdata`. `box` holds the rules' ends on either axis.
    """
    import plotly.graph_objects as go

    finite = np.isfinite(base) & np.isfinite(calibrated)
    if not finite.any():
        return None
    x, y = base[finite], calibrated[finite]
    edges = _edges(x, y)
    figure = go.Figure()
    _shades(figure, density(x, y, edges), edges, palette)
    _dots(figure, base, calibrated, finite, kept, palette)
    middle = float(np.median(x)), float(np.median(y))
    _quadrants(figure, middle, quarters(x, y, middle), palette)
    for draw, places in zip((figure.add_vline, figure.add_hline), box, strict=True):
        for at in places:
            draw(at, line={"color": palette.threshold, "width": 2})
    span = [edges[0], edges[-1]]
    figure.update_xaxes(title="entropy, base model (nats per response token)", range=span)
    figure.update_yaxes(title="entropy, calibrated model", range=span)
    return dressed(figure, palette, 540)


def _edges(x: FloatN, y: FloatN) -> FloatN:
    """One scale for both axes, over all samples, or all but 2 in 1,000 of many."""
    many = len(x) > MANY
    tails = [0.001, 0.999] if many else [0.0, 1.0]
    ends = np.quantile(np.stack([x, y]), tails, axis=1)
    low, high = float(ends[0].min()), float(ends[1].max())
    pad = 0.04 * (high - low) or 0.1
    return equal_edges(low - pad, high + pad, 60 if many else 40)


def evenly(rows: IntN) -> IntN:
    """At most `DOTS` of these rows, at equal distances."""
    return rows[:: max(1, -(-len(rows) // DOTS))]


def _dots(
    figure: "go.Figure",
    base: FloatN,
    calibrated: FloatN,
    finite: MaskN,
    kept: MaskN,
    palette: Palette,
) -> None:
    """Single samples, the kept ones in front."""
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


def _shades(figure: "go.Figure", counts: IntN, edges: FloatN, palette: Palette) -> None:
    """Counts as shades by their root, so that single samples can be seen beside crowds."""
    middle = (edges[:-1] + edges[1:]) / 2
    figure.add_heatmap(
        x=middle,
        y=middle,
        z=np.sqrt(counts),
        customdata=np.stack([np.full_like(counts, -1), counts], axis=-1),  # no sample to open
        colorscale=[[0, palette.density[0]], [1, palette.density[1]]],
        showscale=False,
        hovertemplate="base %{x:.2f}, calibrated %{y:.2f}: %{customdata[1]:,}<extra></extra>",
    )
    figure.add_scatter(
        x=edges[[0, -1]],
        y=edges[[0, -1]],
        mode="lines",
        hoverinfo="skip",
        line={"color": palette.muted, "dash": "dot", "width": 1},
        showlegend=False,
    )


def _quadrants(
    figure: "go.Figure", middle: tuple[float, float], share: FloatN, palette: Palette
) -> None:
    """Median lines, and in each corner its name and its share (2, 2) of the samples."""
    for draw, at in zip((figure.add_vline, figure.add_hline), middle, strict=True):
        draw(at, line={"color": palette.grid, "width": 1.5}, layer="below")
    for above in (0, 1):
        for right in (0, 1):
            figure.add_annotation(
                x=(0.01, 0.99)[right],
                y=(0.01, 0.99)[above],
                xref="paper",
                yref="paper",
                text=f"{NAMES[above][right]} · {100 * share[above][right]:.0f} %",
                showarrow=False,
                xanchor=("left", "right")[right],
                yanchor=("bottom", "top")[above],
                font={"color": palette.muted, "size": 12},
                bgcolor=palette.background,
                opacity=0.85,
            )
