"""Answer entropy: by correctness, as a predictor, and what the model knows of itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.curves import RocBand
from core.histograms import histogram
from core.reliability import Reliability
from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 400  # of a ROC curve; more would not be seen


def by_correctness(
    entropy: FloatN,
    right: FloatN,
    kept: MaskN,
    bounds: Sequence[float],
    names: Sequence[str],
    palette: Palette,
) -> "go.Figure | None":
    """Questions answered right upwards, answered wrong downwards, by entropy in nats.

    `bounds` part the bands, whose `names` stand above them. A bar's `customdata` is the first
    sample in it. None where no answer is known to be right or wrong.
    """
    import plotly.graph_objects as go

    whole = histogram(np.where(np.isfinite(right), entropy, np.nan), kept)
    if whole is None:
        return None
    figure = go.Figure()
    for sign, word, value in ((1, "right", 1.0), (-1, "wrong", 0.0)):
        found = histogram(np.where(right == value, entropy, np.nan), kept, edges=whole.edges)
        if found is None:
            continue
        for name, counts, colour in (
            ("all questions", found.samples, palette.other),
            ("kept", found.kept, palette.kept),
        ):
            figure.add_bar(
                x=found.middle,
                y=sign * counts,
                width=np.diff(found.edges),
                name=name,
                legendgroup=name,
                showlegend=sign > 0,
                customdata=np.stack([found.first, counts], axis=1),
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{word}, %{{x:.3f}} nats: %{{customdata[1]:,}} {name}"
                "<extra></extra>",
            )
    _bands(figure, whole.edges, bounds, names, palette)
    most = int(whole.samples.max())
    figure.add_hline(0, line={"color": palette.muted, "width": 1})
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title="entropy of the first answer token (nats)")
    ticks = np.unique(np.linspace(-most, most, 5).round().astype(int))
    figure.update_yaxes(
        title="wrong ← questions → right",
        tickvals=ticks,
        ticktext=[f"{abs(t):,}" for t in ticks],
    )
    return dressed(figure, palette, 340)


def _bands(
    figure: "go.Figure",
    edges: FloatN,
    bounds: Sequence[float],
    names: Sequence[str],
    palette: Palette,
) -> None:
    """A line at each bound, and each band's name in its middle."""
    for at in bounds:
        figure.add_vline(at, line={"color": palette.threshold, "width": 2})
    ends = [float(edges[0]), *bounds, float(edges[-1])]
    for name, low, high in zip(names, ends, ends[1:], strict=False):
        figure.add_annotation(
            x=(low + high) / 2,
            y=0.99,
            yref="paper",
            text=name,
            showarrow=False,
            yanchor="top",
            font={"color": palette.threshold, "size": 12},
        )


def roc(
    wrong_rate: FloatN,
    right_rate: FloatN,
    threshold: FloatN,
    band: RocBand,
    palette: Palette,
) -> "go.Figure | None":
    """How many wrong answers a threshold on the entropy catches, against right ones it takes along.

    The band is a bootstrap's 95 %; on the dotted diagonal entropy says nothing. A point's
    `customdata` is its threshold in nats. None where all are right or all are wrong.
    """
    import plotly.graph_objects as go

    if not np.isfinite(band.low).all():
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="random",
        hoverinfo="skip",
        line={"color": palette.muted, "dash": "dot", "width": 1.2},
    )
    figure.add_scatter(
        x=np.r_[band.wrong_rate, band.wrong_rate[::-1]],
        y=np.r_[band.high, band.low[::-1]],
        fill="toself",
        fillcolor=palette.density[1].replace("0.75", "0.22"),
        line={"width": 0},
        mode="lines",
        name="95 % of a bootstrap",
        hoverinfo="skip",
    )
    some = np.unique(np.linspace(0, len(threshold) - 1, POINTS).astype(int))
    figure.add_scatter(
        x=wrong_rate[some],
        y=right_rate[some],
        mode="lines+markers",
        name="entropy",
        customdata=threshold[some],
        line={"color": palette.ink, "width": 2.2},
        marker={"size": 5 if len(some) < 80 else 3},
        hovertemplate="from %{customdata:.3f} nats on: %{y:.0%} of the wrong answers,"
        " %{x:.0%} of the right ones<extra></extra>",
    )
    figure.update_xaxes(title="right answers above the threshold", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(
        title="wrong answers above it", tickformat=".0%", range=[0, 1.01], scaleanchor=None
    )
    return dressed(figure, palette, 340)


def reliability(found: Reliability, rows: Sequence[int], palette: Palette) -> "go.Figure | None":
    """Share of right answers in each bin of the probability that the model gave to its choice.

    Bars are Wilson's 95 %; on the dotted diagonal the model knows what it knows. A point's
    `customdata` is a sample of its bin, one of `rows`.
    """
    import plotly.graph_objects as go

    if not len(found.n):
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="as often as said",
        hoverinfo="skip",
        line={"color": palette.muted, "dash": "dot", "width": 1.2},
    )
    size = 7 + 15 * np.sqrt(found.n / found.n.max())
    figure.add_scatter(
        x=found.said,
        y=found.right,
        mode="markers+lines",
        name="answers, larger dots for more",
        customdata=np.stack([np.asarray(rows), found.n], axis=1),
        line={"color": palette.muted, "width": 1},
        marker={"color": palette.ink, "size": size, "line": {"width": 0}, "opacity": 0.9},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": found.high - found.right,
            "arrayminus": found.right - found.low,
            "color": palette.muted,
            "thickness": 1.2,
            "width": 4,
        },
        hovertemplate="said %{x:.0%}, right %{y:.0%} of %{customdata[1]:,} answers<extra></extra>",
    )
    figure.update_xaxes(
        title="probability of the answer the model chose", tickformat=".0%", range=[-0.02, 1.03]
    )
    figure.update_yaxes(title="share answered right", tickformat=".0%", range=[-0.02, 1.05])
    return dressed(figure, palette, 340)
