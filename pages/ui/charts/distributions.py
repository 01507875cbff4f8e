"""Counts of one column."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go


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
    return dressed(figure, palette, 210)
