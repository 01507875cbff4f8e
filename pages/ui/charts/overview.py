"""The scores in small."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core import histograms
from pages.ui.charts import FloatN, MaskN, Palette, dressed
from pages.ui.charts.distributions import outline

if TYPE_CHECKING:
    import plotly.graph_objects as go


def small_scores(
    value: NDArray[np.floating[Any]], kept: MaskN, chance: FloatN, palette: Palette
) -> "go.Figure | None":
    """A score over the pool, what is kept of it, and what a matched random draw would hold.

    `chance` (n,) is how likely such a draw has each sample. A bar's `customdata` is the first
    sample in it. None where there is no score.
    """
    import plotly.graph_objects as go

    found = histograms.histogram(np.asarray(value, np.float64), kept)
    if found is None:
        return None
    figure = go.Figure()
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
            hovertemplate=f"%{{x:,.4~g}}: %{{y:,}} {name}<extra></extra>",
        )
    drawn = np.histogram(value, found.edges, weights=chance)[0]
    outline(figure, found.edges, drawn, palette)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(nticks=4, tickformat=",")
    figure.update_yaxes(tickformat=",d", nticks=3)
    return dressed(figure, palette, 130, legend=False)
