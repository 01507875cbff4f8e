"""Which queries a subset serves: coverage by cluster, and how near the whole pool comes."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pages.ui.charts import FloatN, IntN, MaskN, Palette, dressed

if TYPE_CHECKING:
    import plotly.graph_objects as go

NUMBERED = 260  # cells up to which a matrix shows its numbers
LABELLED = 60  # queries up to which each has a label
LETTERS = 36  # of a label
MARKS = 600  # points of a curve, and single samples on it


def label(text: str, letters: int = LETTERS) -> str:
    """A text on one line, cut short, and shown as it is: Plotly would read `<b>` as markup."""
    line = " ".join(text.split())
    return escape(line if len(line) <= letters else line[: letters - 1] + "…", quote=False)


def coverage(
    value: NDArray[np.float64],
    row: IntN,
    queries: Sequence[str],
    clusters: Sequence[str],
    served: MaskN,
    how: str,
    palette: Palette,
) -> "go.Figure | None":
    """Similarity (c, m) of the kept samples of each cluster (x) to each query (y, first on top).

    A mark before a query says that nothing kept serves it. A click opens a cell's nearest sample.
    """
    import plotly.graph_objects as go

    if not value.size or np.isnan(value).all():
        return None
    across, down = np.arange(len(clusters)), np.arange(len(queries))
    names = [f"{'' if ok else '○ '}{label(q)}" for q, ok in zip(queries, served, strict=True)]
    inside = [[f"{label(q)}<br>{label(c)}" for c in clusters] for q in queries]
    figure = go.Figure(
        go.Heatmap(
            x=across,
            y=down,
            z=value.T,
            customdata=row.T,
            meta="rows",  # a click on a cell opens its sample
            text=inside,
            texttemplate="%{z:.2f}" if value.size <= NUMBERED else None,
            hovertemplate=f"%{{text}}<br>{how} similarity %{{z:.3f}}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            colorscale=[[k / 4, colour] for k, colour in enumerate(palette.sequence)],
            colorbar={"thickness": 8, "outlinewidth": 0, "title": {"text": "similarity"}},
        )
    )
    short = [label(c, 26) for c in clusters]
    figure.update_xaxes(tickvals=across, ticktext=short, showgrid=False, tickangle=-35)
    figure.update_yaxes(showgrid=False, zeroline=False, autorange="reversed")
    if len(queries) <= LABELLED:
        figure.update_yaxes(tickvals=down, ticktext=names)
    else:
        figure.update_yaxes(title="queries, the least served first", showticklabels=False)
    height = 150 + int(np.clip(23 * len(queries), 120, 560))
    return dressed(figure, palette, height, legend=False)


def ranked(best: FloatN, kept: MaskN, level: float, palette: Palette) -> "go.Figure | None":
    """How many samples (y, log) come at least so near to their nearest query (x)."""
    import plotly.graph_objects as go

    finite = np.flatnonzero(np.isfinite(best))
    if not len(finite):
        return None
    order = finite[np.argsort(-best[finite], kind="stable")]
    rank = np.unique(np.geomspace(1, len(order), MARKS).round().astype(np.int64))
    shown = order[rank - 1]
    figure = go.Figure()
    figure.add_scatter(
        x=best[shown],
        y=rank,
        mode="lines",
        name="all samples",
        line={"color": palette.other, "width": 3},
        hovertemplate="%{y:,} samples reach %{x:.3f}<extra></extra>",
    )
    at = np.flatnonzero(kept[order])
    at = at[:: max(1, -(-len(at) // MARKS))]
    figure.add_scatter(
        x=best[order[at]],
        y=at + 1,
        mode="markers",
        name="kept",
        customdata=order[at],
        marker={"color": palette.kept, "size": 7, "opacity": 0.8},
        hovertemplate="kept: %{x:.3f}, number %{y:,}<extra></extra>",
    )
    figure.add_vline(level, line={"color": palette.threshold, "width": 2})
    figure.update_xaxes(title="similarity to the nearest query")
    figure.update_yaxes(title="samples at least this near", type="log", tickformat=",d", dtick=1)
    return dressed(figure, palette, 480)
