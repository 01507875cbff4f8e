"""The scores in small."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pages.ui.charts import FloatN, MaskN, Palette, dressed
from pages.ui.charts.distributions import histogram

if TYPE_CHECKING:
    import plotly.graph_objects as go


def small_scores(
    value: NDArray[np.floating[Any]], kept: MaskN, chance: FloatN, palette: Palette
) -> "go.Figure | None":
    """A score over the pool, what is kept of it, and what a matched random draw would hold.

    `chance` (n,) is how likely such a draw has each sample. A bar's `customdata` is the first
    sample in it. None where there is no score.
    """
    figure = histogram(np.asarray(value, np.float64), kept, (), "", palette, chance=chance)
    if figure is None:
        return None
    figure.update_xaxes(nticks=4, title_text="")
    figure.update_yaxes(nticks=3, title_text="")
    return dressed(figure, palette, 130, legend=False)
