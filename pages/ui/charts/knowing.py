"""Does a model know what it knows: entropy as a predictor (ROC), and reliability."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.curves import RocBand
from core.reliability import Reliability
from pages.ui.charts import FloatN, Palette, dressed
from pages.ui.charts.trajectories import clear

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 400  # of a ROC curve; more would not be seen


def roc(
    wrong_rate: FloatN, right_rate: FloatN, threshold: FloatN, band: RocBand, palette: Palette
) -> "go.Figure | None":
    """How many wrong answers lie above a threshold on the entropy, against the right ones there.

    The band is a bootstrap's 95 %; on the dotted diagonal entropy says nothing. A point's
    `customdata` is its threshold in nats. None where all are right or all are wrong.
    """
    import plotly.graph_objects as go

    if not np.isfinite(band.low).all():
        return None
    figure = go.Figure()
    _diagonal(figure, "random", palette)
    _interval(figure, band, palette)
    some = np.unique(np.linspace(0, len(threshold) - 1, POINTS).astype(int))
    figure.add_scatter(
        x=wrong_rate[some],
        y=right_rate[some],
        mode="lines+markers",
        name="entropy",
        customdata=np.nan_to_num(threshold[some], posinf=-1.0),
        line={"color": palette.ink, "width": 2.2},
        marker={"size": 6 if len(some) < 80 else 3},
        hovertemplate="from %{customdata:.3f} nats on: %{y:.0%} of the wrong answers,"
        " %{x:.0%} of the right ones<extra></extra>",
    )
    figure.update_xaxes(title="right answers above the threshold", tickformat=".0%")
    figure.update_yaxes(title="wrong answers above it", tickformat=".0%")
    return _square(figure, palette)


def reliability(found: Reliability, rows: Sequence[int], palette: Palette) -> "go.Figure | None":
    """Share of right answers in each bin of the probability that the model gave to its choice.

    Bars are Wilson's 95 %; on the dotted diagonal the model knows what it knows. A point's
    `customdata` begins with a sample of its bin, one of `rows`.
    """
    import plotly.graph_objects as go

    if not len(found.n):
        return None
    figure = go.Figure()
    _diagonal(figure, "as often as said", palette)
    figure.add_scatter(
        x=found.said,
        y=found.right,
        mode="markers+lines",
        name="answers (larger: more)",
        customdata=np.stack([np.asarray(rows), found.n], axis=1),
        line={"color": palette.muted, "width": 1},
        marker={
            "color": palette.ink,
            "size": 7 + 13 * np.sqrt(found.n / found.n.max()),
            "line": {"width": 0},
            "opacity": 1,
        },
        error_y=_bars(found, palette),
        hovertemplate="said %{x:.0%}, right %{y:.0%} of %{customdata[1]:,} answers<extra></extra>",
    )
    figure.update_xaxes(title="probability of the answer that was chosen", tickformat=".0%")
    figure.update_yaxes(title="share answered right", tickformat=".0%")
    return _square(figure, palette)


def _bars(found: Reliability, palette: Palette) -> dict[str, object]:
    """Wilson's intervals around the shares."""
    return {
        "type": "data",
        "symmetric": False,
        "array": found.high - found.right,
        "arrayminus": found.right - found.low,
        "color": palette.muted,
        "thickness": 1.2,
        "width": 4,
    }


def _interval(figure: "go.Figure", band: RocBand, palette: Palette) -> None:
    """The band of a bootstrap, as an area."""
    figure.add_scatter(
        x=np.r_[band.wrong_rate, band.wrong_rate[::-1]],
        y=np.r_[band.high, band.low[::-1]],
        fill="toself",
        fillcolor=clear(palette.muted, 0.2),
        line={"width": 0},
        mode="lines",
        name="95 % of a bootstrap",
        hoverinfo="skip",
    )


def _diagonal(figure: "go.Figure", name: str, palette: Palette) -> None:
    """Where nothing is known, or everything is as it is said."""
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name=name,
        hoverinfo="skip",
        line={"color": palette.muted, "dash": "dot", "width": 1.2},
    )


def _square(figure: "go.Figure", palette: Palette) -> "go.Figure":
    """Both axes from 0 to 100 %."""
    figure.update_xaxes(range=[-0.02, 1.03], dtick=0.25)
    figure.update_yaxes(range=[-0.03, 1.05], dtick=0.25)
    return dressed(figure, palette, 360)
