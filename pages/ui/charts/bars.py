"""Bars: shares by source."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pages.ui.charts import Palette, dressed
from pages.ui.charts.labels import label

if TYPE_CHECKING:
    import plotly.graph_objects as go


def shares(
    names: Sequence[str],
    kept: Sequence[int],
    total: Sequence[int],
    expected: Sequence[tuple[float, float]],
    palette: Palette,
) -> "go.Figure | None":
    """Kept samples of each source in front of all of them, largest source on top.

    A bar's `customdata` is its place in `names`. `expected`: mean and standard deviation of what
    random draws of the same size and lengths take of each source, a tick with its 95 % interval.
    """
    import plotly.graph_objects as go

    if not len(names):
        return None
    rows = list(range(len(names)))
    shown = [label(name, 24) for name in names]
    labels = [
        f"{k:,} of {n:,} ({100 * k / max(n, 1):.1f} %)" for k, n in zip(kept, total, strict=True)
    ]
    figure = go.Figure()
    figure.add_bar(
        y=rows,
        x=list(total),
        orientation="h",
        name="all samples",
        customdata=rows,
        marker={"color": palette.other},
        text=labels,
        textposition="outside",
        textfont={"color": palette.muted},
        cliponaxis=False,
        hovertext=shown,
        hovertemplate="%{hovertext}: %{x:,} samples<extra></extra>",
    )
    figure.add_bar(
        y=rows,
        x=list(kept),
        orientation="h",
        name="kept",
        customdata=rows,
        marker={"color": palette.kept},
        hovertext=shown,
        hovertemplate="%{hovertext}: %{x:,} kept<extra></extra>",
    )
    figure.add_scatter(
        y=rows,
        x=[mean for mean, _ in expected],
        mode="markers",
        name="random, same size and length",
        error_x={"array": [1.96 * sd for _, sd in expected], "color": palette.ink, "width": 0},
        marker={"symbol": "line-ns", "size": 12, "line": {"width": 2, "color": palette.ink}},
        hovertemplate="%{x:,.1f} in a random draw<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(title="samples", tickformat=",d", range=[0, 1.5 * max(total)])
    figure.update_yaxes(autorange="reversed", showgrid=False, tickvals=rows, ticktext=shown)
    return dressed(figure, palette, 90 + 38 * len(names))
