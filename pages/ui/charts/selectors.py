"""Ways to choose by queries, side by side: what they share, and how near they come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pages.ui.charts import FloatN, IntN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
COLOURS = (1, 3, 4, 5, 6, 7)  # of the categories: kept and the rival have near ones


def overlap(
    jaccard: NDArray[np.float64], names: Sequence[str], palette: Palette
) -> "go.Figure | None":
    """Shared over all samples of each pair of subsets (s, s)."""
    import plotly.graph_objects as go

    if len(names) < 2:
        return None
    figure = go.Figure(
        go.Heatmap(
            x=list(names),
            y=list(names),
            z=jaccard,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            texttemplate="%{z:.2f}",
            textfont={"size": 11},
            showscale=False,
            colorscale=[[k / 4, colour] for k, colour in enumerate(palette.sequence)],
            hovertemplate="%{y} and %{x}: %{z:.0%} shared<extra></extra>",
        )
    )
    figure.update_xaxes(showgrid=False, tickangle=-35)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    return dressed(figure, palette, 420, legend=False)


@dataclass(frozen=True)
class Line:
    """A distance at each budget."""

    at: IntN
    distance: FloatN


@dataclass(frozen=True)
class Band:
    """Distances of random subsets at each budget: 5th percentile, median, 95th."""

    at: IntN
    low: FloatN
    middle: FloatN
    high: FloatN


def distances(
    recipe: "Line | None",
    others: "Mapping[str, Line]",
    random: "Band | None",
    palette: Palette,
    mine: str,
) -> "go.Figure | None":
    """Distance to the query set (y) of the first samples (x, log) of the recipe and of selectors.

    The recipe is the thick line, random subsets are a grey band.
    """
    import plotly.graph_objects as go

    if random is None or not len(random.at):
        return None
    figure = go.Figure()
    _band(figure, random, palette)
    if recipe is not None:
        _line(figure, mine, recipe, {"color": palette.kept, "width": 5})
    own = [palette.categories[k] for k in COLOURS]
    for k, (name, line) in enumerate(others.items()):
        look = {"color": own[k % len(own)], "width": 2, "dash": DASHES[k % len(DASHES)]}
        _line(figure, name, line, look)
    figure.update_xaxes(title="samples in the subset", type="log", tickformat=",d", dtick="D2")
    figure.update_yaxes(title="distance to the query set", tickformat=".3f")
    dressed(figure, palette, 420)
    figure.update_layout(
        legend={
            "traceorder": "normal",
            "x": 0,
            "xanchor": "left",
            "y": -0.2,
            "yanchor": "top",
            "font": {"size": 12},
        }
    )
    return figure


def _line(figure: "go.Figure", name: str, line: Line, look: dict[str, Any]) -> None:
    figure.add_scatter(
        x=line.at,
        y=line.distance,
        mode="lines",
        name=name,
        line=look,
        hovertemplate=f"{name}, %{{x:,}} samples: %{{y:.4f}}<extra></extra>",
    )


def _band(figure: "go.Figure", random: Band, palette: Palette) -> None:
    """Where random subsets lie, and their median as a dotted line."""
    edges: list[dict[str, Any]] = [
        {"y": random.low, "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"},
        {
            "y": random.high,
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": palette.grid,
            "name": "random, 5 to 95 %",
            "hoverinfo": "skip",
        },
        {
            "y": random.middle,
            "line": {"color": palette.other, "width": 2, "dash": "dot"},
            "name": "random, median",
            "hovertemplate": "random, %{x:,} samples: %{y:.4f}<extra></extra>",
        },
    ]
    for edge in edges:
        figure.add_scatter(x=random.at, mode="lines", **edge)
