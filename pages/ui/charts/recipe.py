"""What a recipe removes step by step, and how its subset changes while a threshold moves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.sensitivity import Curve
from core.waterfall import Step
from pages.ui.charts import Palette, dressed
from pages.ui.charts.labels import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

BAR = 0.6  # height of a bar, of the distance between two


def waterfall(
    steps: Sequence[Step], names: Sequence[str], total: int, palette: Palette
) -> "go.Figure | None":
    """Samples left after each step; each removes what lies between its bar and the one above.

    A tick on a row says how many would be left if that step were the only one. Its label gives
    both numbers that it removes: in order, and alone.
    """
    import plotly.graph_objects as go

    if not total:
        return None
    removed = [step.in_order for step in steps]
    left = (total - np.cumsum([0, *removed])).tolist()
    rows = ["all samples", *(label(name) for name in names), "kept"]
    texts = [f"{total:,}", *map(_two_numbers, steps), f"{left[-1]:,}"]
    figure = go.Figure()
    figure.add_bar(
        y=[0, len(rows) - 1],
        x=[total, left[-1]],
        width=BAR,
        orientation="h",
        marker={"color": [palette.other, palette.kept]},
        hovertemplate="%{x:,} samples<extra></extra>",
    )
    middle = list(range(1, len(rows) - 1))
    figure.add_bar(
        y=middle,
        x=removed,
        base=left[1:],
        width=BAR,
        orientation="h",
        marker={"color": palette.other, "opacity": 0.75},
        hovertemplate="removes %{x:,}<extra></extra>",
    )
    _connected(figure, left, palette)
    figure.add_scatter(
        y=middle,
        x=[total - step.alone for step in steps],
        mode="markers",
        marker={"symbol": "line-ns", "size": 15, "line": {"width": 2, "color": palette.ink}},
        hovertemplate="%{x:,} left if this were the only step<extra></extra>",
    )
    for row, text in enumerate(texts):
        figure.add_annotation(
            x=1.02 * total,
            y=row,
            text=text,
            showarrow=False,
            xanchor="left",
            font={"color": palette.muted, "size": 12},
        )
    figure.update_layout(barmode="overlay", showlegend=False)
    room = 1.1 + 0.035 * max(map(len, texts))  # for the numbers at the right
    figure.update_xaxes(title="samples left", tickformat=",d", range=[0, room * total])
    figure.update_xaxes(tickvals=[0, total // 2, total])
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=list(range(len(rows))), ticktext=rows
    )
    return dressed(figure, palette, 70 + 34 * len(rows), legend=False)


def _two_numbers(step: Step) -> str:
    if step.in_order == step.alone:
        return f"−{step.in_order:,}"
    return f"−{step.in_order:,}  (alone −{step.alone:,})"


def _connected(figure: "go.Figure", left: Sequence[int], palette: Palette) -> None:
    """Thin lines from each row to the next, where the one ends and the other begins."""
    for row, x in enumerate(left):
        figure.add_shape(
            type="line",
            x0=x,
            x1=x,
            y0=row + BAR / 2,
            y1=row + 1 - BAR / 2,
            line={"color": palette.muted, "width": 1, "dash": "dot"},
        )


def sensitivity(curve: Curve, palette: Palette) -> "go.Figure | None":
    """What a threshold would keep, and how much of that is kept now, over its range.

    A mark's `customdata` is the place of the threshold. None where there is one place alone.
    """
    import plotly.graph_objects as go

    if len(curve.at) < 2:
        return None
    figure = go.Figure()
    for name, values, line in (
        ("kept of the pool", curve.kept, {"color": palette.kept, "width": 2.5}),
        ("same as now", curve.alike, {"color": palette.ink, "width": 1.5, "dash": "dot"}),
    ):
        figure.add_scatter(
            x=curve.at,
            y=100 * values,
            mode="lines+markers",
            name=name,
            line=line,
            marker={"size": 5, "color": line["color"]},
            customdata=curve.at,
            hovertemplate=f"at %{{x:,.4~g}}: %{{y:.1f}} % {name}<extra></extra>",
        )
    figure.add_vline(curve.now, line={"color": palette.threshold, "width": 2})
    figure.update_xaxes(title=label(curve.name), nticks=5)
    figure.update_yaxes(title="%", range=[-3, 106], tickvals=[0, 50, 100])
    return dressed(figure, palette, 165, legend=False)
