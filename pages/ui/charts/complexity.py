"""Answer entropy by correctness, right upwards and wrong downwards, with the bands on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.histograms import histogram
from pages.ui.charts import FloatN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEADROOM = 1.22  # over the highest bar, for the names of the bands


def by_correctness(
    entropy: FloatN,
    right: FloatN,
    kept: MaskN,
    bounds: Sequence[float],
    names: Sequence[str],
    rule: Sequence[float],
    palette: Palette,
) -> "go.Figure | None":
    """Questions answered right upwards, answered wrong downwards, by entropy in nats.

    `bounds` part the bands, whose `names` stand above them; `rule` are the ends of the recipe's
    rule. A bar's `customdata` begins with the first sample in it. None where no answer is known
    to be right or wrong.
    """
    import plotly.graph_objects as go

    whole = histogram(np.where(np.isfinite(right), entropy, np.nan), kept)
    if whole is None:
        return None
    figure, most = go.Figure(), 1
    for sign, word, value in ((1, "right", 1.0), (-1, "wrong", 0.0)):
        side = np.where(right == value, entropy, np.nan)
        most = max(most, _side(figure, side, kept, whole.edges, sign, word, palette))
    _bands(figure, whole.edges, bounds, names, palette)
    for at in rule:
        figure.add_vline(at, line={"color": palette.threshold, "width": 2})
    figure.add_hline(0, line={"color": palette.muted, "width": 1})
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title="entropy of the first answer token (nats)")
    ticks = _round_down(-(-most // 2)) * np.arange(-2, 3)
    figure.update_yaxes(
        title="wrong ← questions → right",
        range=[-1.08 * most, HEADROOM * most],
        tickvals=ticks,
        ticktext=[f"{abs(t):,}" for t in ticks],
    )
    return dressed(figure, palette, 360)


def _round_down(step: int) -> int:
    """The first digit of a whole number, the others 0."""
    digit = int("1".ljust(len(str(step)), "0"))
    return step // digit * digit


def _side(
    figure: "go.Figure",
    entropy: FloatN,
    kept: MaskN,
    edges: FloatN,
    sign: int,
    word: str,
    palette: Palette,
) -> int:
    """Bars of the right or the wrong answers; returns the highest."""
    found = histogram(entropy, kept, edges=edges)
    if found is None:
        return 0
    for name, counts, colour in (
        ("all questions", found.samples, palette.other),
        ("kept", found.kept, palette.kept),
    ):
        figure.add_bar(
            x=found.middle,
            y=sign * counts,
            width=np.diff(edges),
            name=name,
            legendgroup=name,
            showlegend=name not in [bar.name for bar in figure.data],
            customdata=np.stack([found.first, counts], axis=1),
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"{word}, %{{x:.3f}} nats: %{{customdata[1]:,}} {name}<extra></extra>",
        )
    return int(found.samples.max())


def _bands(
    figure: "go.Figure",
    edges: FloatN,
    bounds: Sequence[float],
    names: Sequence[str],
    palette: Palette,
) -> None:
    """A dashed line at each bound, and each band's name in its middle."""
    for at in bounds:
        figure.add_vline(at, line={"color": palette.threshold, "width": 1.5, "dash": "dash"})
    ends = [float(edges[0]), *bounds, float(edges[-1])]
    for name, low, high in zip(names, ends, ends[1:], strict=False):
        figure.add_annotation(
            x=(low + high) / 2,
            y=1,
            yref="paper",
            text=name,
            showarrow=False,
            yanchor="top",
            font={"color": palette.threshold, "size": 12},
        )
