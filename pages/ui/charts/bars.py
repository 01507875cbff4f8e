"""Bars: shares by source, what is left after each step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.ui.charts import Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go


def shares(
    names: Sequence[str], kept: Sequence[int], total: Sequence[int], palette: Palette
) -> "go.Figure | None":
    """Kept samples of each source in front of all of them, largest source on top."""
    import plotly.graph_objects as go

    if not len(names):
        return None
    labels = [f"{k:,} of {n:,} ({100 * k / n:.1f} %)" for k, n in zip(kept, total, strict=True)]
    figure = go.Figure()
    figure.add_bar(
        y=list(names),
        x=list(total),
        orientation="h",
        name="all samples",
        marker={"color": palette.other},
        text=labels,
        textposition="outside",
        textfont={"color": palette.muted},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,} samples<extra></extra>",
    )
    figure.add_bar(
        y=list(names),
        x=list(kept),
        orientation="h",
        name="kept",
        marker={"color": palette.kept},
        hovertemplate="%{y}: %{x:,} kept<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(title="samples", tickformat=",d", range=[0, 1.5 * max(total)])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return dressed(figure, palette, 90 + 38 * len(names))


def waterfall(steps: Sequence[tuple[str, int]], total: int, palette: Palette) -> "go.Figure | None":
    """What is left after each step: `steps` are (name, samples it removes), in order."""
    import plotly.graph_objects as go

    if not total:
        return None
    left = total - np.cumsum([0, *(n for _, n in steps)])
    names = ["all samples", *(name for name, _ in steps), "kept"]
    figure = go.Figure()
    removed = [None, *(n or None for _, n in steps), None]  # nothing removed draws no outline
    remains = [total, *left[1:].tolist(), int(left[-1])]
    colours = [palette.other] * (len(names) - 1) + [palette.kept]
    figure.add_bar(
        y=names,
        x=remains,
        orientation="h",
        marker={"color": colours},
        text=[f"{n:,}" for n in remains],
        textposition="outside",
        cliponaxis=False,
        textfont={"color": palette.muted},
        hovertemplate="%{y}: %{x:,} left<extra></extra>",
    )
    figure.add_bar(
        y=names,
        x=removed,
        base=remains,
        orientation="h",
        marker={"color": "rgba(0,0,0,0)", "line": {"color": palette.threshold, "width": 1}},
        hovertemplate="%{y}: removes %{x:,}<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0.4, showlegend=False)
    figure.update_xaxes(title="samples left", tickformat=",d", range=[0, 1.12 * total])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return dressed(figure, palette, 100 + 40 * len(names), legend=False)
