"""Counts of one column."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core import histograms
from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go


def histogram(
    value: FloatN,
    kept: MaskN,
    thresholds: Sequence[float],
    label: str,
    palette: Palette,
    bins: int = 0,
    unit: str = "",
    chance: FloatN | None = None,
) -> "go.Figure | None":
    """Counts of a column in bins, the kept samples in front, thresholds as lines.

    `chance` (n,) is how likely a random draw has each sample: such draws are a grey outline.
    A bar's `customdata` is the first sample in it.
    None when the column holds no number.
    """
    import plotly.graph_objects as go

    found = histograms.histogram(value, kept, bins)
    if found is None:
        return None
    figure, of = go.Figure(), f" {unit}" if unit else ""
    for name, counts, colour in (
        ("all samples", found.samples, palette.other),
        ("kept", found.kept, palette.kept),
    ):
        figure.add_bar(
            x=found.middle,
            y=counts,
            width=np.diff(found.edges),
            name=name,
            customdata=found.first,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{x:,.4~g}}{of}: %{{y:,}} {name}<extra></extra>",
        )
    if chance is not None:
        outline(figure, found.edges, np.histogram(value, found.edges, weights=chance)[0], palette)
    for at in thresholds:
        figure.add_vline(at, line={"color": palette.threshold, "width": 2})
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title=label, tickformat=",")
    figure.update_yaxes(title="samples", tickformat=",d")
    return dressed(figure, palette, 210)


def outline(figure: "go.Figure", edges: FloatN, counts: FloatN, palette: Palette) -> None:
    """What random draws of the subset's size and lengths would hold, on average, as a line."""
    figure.add_scatter(
        x=np.append(edges[0], edges),
        y=[0, *counts, 0],
        mode="lines",
        name="random",
        line={"color": palette.muted, "width": 1.5, "dash": "dot", "shape": "hv"},
        hovertemplate="from %{x:,.4~g}: %{y:,.1f} in a random draw<extra></extra>",
    )
