"""The scores in small."""

from typing import TYPE_CHECKING

import numpy as np

from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

BINS = 32


def small_scores(
    value: FloatN, kept: MaskN, chance: FloatN, palette: Palette
) -> "go.Figure | None":
    """A score over the pool, what is kept of it, and what a matched random draw would hold.

    `chance` (n,) is how likely such a draw has each sample. None where there is no score.
    """
    import plotly.graph_objects as go

    finite = np.isfinite(value)
    if not finite.any():
        return None
    own = value[finite]
    edges = np.histogram_bin_edges(own, BINS)
    middle, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    figure = go.Figure()
    for name, weights, colour in (
        ("all samples", None, palette.other),
        ("kept", kept[finite].astype(float), palette.kept),
    ):
        figure.add_bar(
            x=middle,
            y=np.histogram(own, edges, weights=weights)[0],
            width=width,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{x:,.4~g}}: %{{y:,}} {name}<extra></extra>",
        )
    figure.add_scatter(
        x=np.append(edges[0], edges),
        y=[0, *np.histogram(own, edges, weights=chance[finite])[0], 0],
        mode="lines",
        name="random",
        line={"color": palette.muted, "width": 1.5, "dash": "dot", "shape": "hv"},
        hovertemplate="%{x:,.4~g}: %{y:,.1f} in a random draw<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(nticks=4, tickformat=",")
    figure.update_yaxes(tickformat=",d", nticks=3)
    return dressed(figure, palette, 130, legend=False)
