"""Shares with their intervals, one line a stratum."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.verdicts import Estimate
from pages.ui.charts import Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go


def intervals(
    names: Sequence[str], found: Sequence[Estimate], palette: Palette
) -> "go.Figure | None":
    """Share of good ones with its 95 % interval; a pale bar where the unsure ones could move it.

    Lines without a verdict are left out; None where all are.
    """
    import plotly.graph_objects as go

    shown = [(n, e) for n, e in zip(names, found, strict=True) if e.good + e.bad]
    if not shown:
        return None
    figure = go.Figure()
    for k, (name, e) in enumerate(shown):
        colour = palette.kept if name == "kept" else palette.muted
        low, high = e.bounds
        figure.add_bar(
            y=[name],
            x=[100 * (high - low)],
            base=[100 * low],
            orientation="h",
            width=0.36,
            marker={"color": palette.other, "opacity": 0.45},
            name="if unsure were bad … good",
            showlegend=k == 0,
            hovertemplate="%{base:.0f} to %{x:.0f} %<extra></extra>",
        )
        figure.add_scatter(
            y=[name],
            x=[100 * e.share],
            mode="markers+text",
            text=[f"{100 * e.share:.0f} %"],
            textposition="top center",
            marker={"color": colour, "size": 11},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * (e.high - e.share)],
                "arrayminus": [100 * (e.share - e.low)],
                "color": colour,
                "thickness": 3,
                "width": 7,
            },
            name="share of good ones, 95 % interval",
            showlegend=k == 0,
            hovertemplate=(
                f"{name}: {e.good:,} of {e.good + e.bad:,} good"
                f" ({100 * e.low:.0f} to {100 * e.high:.0f} %)<extra></extra>"
            ),
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="good among those decided (%)", range=[-3, 103], ticksuffix=" %")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return dressed(figure, palette, 130 + 62 * len(shown))
