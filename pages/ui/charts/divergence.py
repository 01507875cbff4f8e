"""How far, and in how many directions, answers disagree: all samples, and the k answers of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 3000  # above it samples are counted in cells, and only some stand alone
SHOWN = 800  # single samples of each kind beside the cells
NUMBERED = 10  # answers up to which a matrix shows its numbers


@dataclass(frozen=True)
class Line:
    """Points of one score, and what it is called."""

    x: FloatN
    y: FloatN
    name: str


def spread(
    dispersion: FloatN,
    anisotropy: FloatN,
    kept: MaskN,
    lines: Sequence[Line],
    opened: int | None,
    palette: Palette,
) -> "go.Figure | None":
    """Dispersion (x) and anisotropy (y) of every sample, under lines of equal score.

    Up to `POINTS` samples are dots; of more, shades count them all and some are dots.
    """
    import plotly.graph_objects as go

    finite = np.isfinite(dispersion) & np.isfinite(anisotropy)
    if not finite.any():
        return None
    figure = go.Figure()
    many = int(finite.sum()) > POINTS
    if many:
        _shades(figure, dispersion[finite], anisotropy[finite], palette)
    for name, mask, colour, size in (
        ("dropped", ~kept, palette.other, 5),
        ("kept", kept, palette.kept, 7),
    ):
        rows = np.flatnonzero(finite & mask)
        rows = rows[:: max(1, -(-len(rows) // (SHOWN if many else POINTS)))]
        figure.add_scatter(
            x=dispersion[rows],
            y=anisotropy[rows],
            mode="markers",
            name=name,
            customdata=rows,
            marker={"color": colour, "size": size, "opacity": 0.85},
            hovertemplate=f"{name}: dispersion %{{x:.4f}}, anisotropy %{{y:.3f}}<extra></extra>",
        )
    _lines(figure, lines, palette)
    if opened is not None and opened < len(finite) and finite[opened]:
        _ring(figure, opened, dispersion, anisotropy, palette)
    figure.update_xaxes(title="dispersion: mean squared distance to the centre of the answers")
    figure.update_yaxes(title="anisotropy: share outside the main direction", tickformat=".2f")
    return dressed(figure, palette, 460)


def _shades(figure: "go.Figure", x: FloatN, y: FloatN, palette: Palette) -> None:
    """Counts of all samples in cells."""
    counts, across, up = np.histogram2d(x, y, 70)
    figure.add_heatmap(
        x=(across[:-1] + across[1:]) / 2,
        y=(up[:-1] + up[1:]) / 2,
        z=np.sqrt(counts.T),
        text=counts.T,  # customdata would be a sample's position
        colorscale=[[0, palette.density[0]], [1, palette.density[1]]],
        showscale=False,
        hovertemplate="dispersion %{x:.3f}, anisotropy %{y:.2f}: %{text:,} samples<extra></extra>",
    )


def _lines(figure: "go.Figure", lines: Sequence[Line], palette: Palette) -> None:
    """Lines of equal score, named where they end."""
    for k, line in enumerate(lines):
        if not len(line.x):
            continue
        figure.add_scatter(
            x=line.x,
            y=line.y,
            mode="lines",
            name="equal score",
            legendgroup="iso",
            showlegend=k == 0,
            hoverinfo="skip",
            line={"color": palette.muted, "width": 1.5, "dash": "dot"},
        )
        end = int(np.argmax(line.x))
        figure.add_annotation(
            x=line.x[end],
            y=line.y[end],
            text=line.name,
            showarrow=False,
            xanchor="right",
            bgcolor=palette.background,
            font={"color": palette.muted, "size": 11},
        )


def _ring(figure: "go.Figure", row: int, x: FloatN, y: FloatN, palette: Palette) -> None:
    """A ring around the sample that is open."""
    figure.add_scatter(
        x=x[row : row + 1],
        y=y[row : row + 1],
        mode="markers",
        showlegend=False,
        customdata=[row],
        marker={"symbol": "circle-open", "size": 16, "color": palette.ink, "line": {"width": 2}},
        hovertemplate="the sample that is open below<extra></extra>",
    )


def cosines(gram: NDArray[Any], names: Sequence[str], palette: Palette) -> "go.Figure | None":
    """The cosines (c, c) between the answers of one instruction, as shades and as numbers."""
    import plotly.graph_objects as go

    if not len(gram):
        return None
    others = gram[~np.eye(len(gram), dtype=bool)]
    low = float(others.min()) if len(others) else 0.0
    figure = go.Figure(
        go.Heatmap(
            z=gram,
            x=list(names),
            y=list(names),
            zmin=min(low, 0.99),
            zmax=1,
            xgap=2,
            ygap=2,
            texttemplate="%{z:.2f}" if len(gram) <= NUMBERED else None,
            colorscale=_scale(palette.sequence),
            colorbar={"thickness": 8, "outlinewidth": 0, "tickformat": ".2f"},
            hovertemplate="%{y} and %{x}: cosine %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(showgrid=False, type="category")
    figure.update_yaxes(showgrid=False, type="category", autorange="reversed")
    return dressed(figure, palette, 320, legend=False)


def cloud(
    places: NDArray[np.float64],
    share: FloatN,
    names: Sequence[str],
    reference: str,
    palette: Palette,
) -> "go.Figure | None":
    """The answers of one instruction on the two directions in which they differ most."""
    import plotly.graph_objects as go

    if len(places) < 2:
        return None
    figure = go.Figure()
    centre = places.mean(0)
    for x, y in places:
        figure.add_scatter(
            x=[centre[0], x],
            y=[centre[1], y],
            mode="lines",
            hoverinfo="skip",
            line={"color": palette.other, "width": 1},
        )
    figure.add_scatter(
        x=places[:, 0],
        y=places[:, 1],
        mode="markers+text",
        text=list(names),
        textposition="top center",
        textfont={"color": palette.ink},
        marker={
            "size": 13,
            "color": [palette.ink if n == reference else palette.muted for n in names],
        },
        hovertemplate="answer %{text}<extra></extra>",
        cliponaxis=False,
    )
    reach = 1.25 * float(np.abs(places).max()) or 1.0
    figure.update_xaxes(title=f"first direction ({share[0]:.0%} of the spread)")
    figure.update_yaxes(title=f"second direction ({share[1]:.0%})", scaleanchor="x")
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(range=[-reach, reach], tickformat=".2f", nticks=5)
    return dressed(figure, palette, 320, legend=False)


def _scale(colours: Sequence[str]) -> list[list[Any]]:
    return [[k / (len(colours) - 1), colour] for k, colour in enumerate(colours)]
