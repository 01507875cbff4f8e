"""Arrays -> plotly figures. Knows no Streamlit; plotly is imported when the first one is drawn.

One meaning a colour, on every page: kept is blue, everything else is grey, a threshold is
vermilion, a second recipe is green, a random draw is a grey band. They are told apart by people
with any colour vision. `Palette.sequence`, `.diverging` and `.categories` colour by a column.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import plotly.graph_objects as go

FloatN = NDArray[np.float64]
IntN = NDArray[np.int64]
MaskN = NDArray[np.bool_]

# Okabe and Ito's colours for any colour vision, without the blue and the vermilion that have a
# meaning of their own, and darker or lighter where the background asks for it.
ON_LIGHT = ("#0072A3", "#B87A00", "#00795A", "#B04A86", "#8A6D00", "#4B6FB5", "#7A5230", "#5B6670")
ON_DARK = ("#56B4E9", "#E69F00", "#2BB58C", "#DB8FBF", "#E3D84A", "#8FAAE8", "#C29A72", "#9AA8B5")


@dataclass(frozen=True)
class Palette:
    """The colours of one theme."""

    ink: str
    muted: str
    grid: str
    kept: str
    other: str
    threshold: str
    rival: str  # the second recipe of a comparison
    density: tuple[str, str]  # from empty to full
    sequence: tuple[str, ...]  # from a low to a high number
    diverging: tuple[str, ...]  # from below zero over zero to above it
    categories: tuple[str, ...]
    background: str


LIGHT = Palette(
    ink="#16202B",
    muted="#56636F",
    grid="#E6EBF0",
    kept="#0F62A8",
    other="#B4BEC8",
    threshold="#D1490C",
    rival="#00795A",
    density=("rgba(86,99,111,0)", "rgba(86,99,111,0.75)"),
    sequence=("#D9E6F2", "#8DBBDD", "#3E8CC4", "#155F9E", "#0A3A69"),
    diverging=("#A6500A", "#E3A064", "#D8DDE2", "#7DB0D8", "#0F558F"),
    categories=ON_LIGHT,
    background="#FFFFFF",
)
DARK = Palette(
    ink="#E4EAF0",
    muted="#9AA8B5",
    grid="#26313C",
    kept="#4FA3E3",
    other="#556370",
    threshold="#FF8A4C",
    rival="#2BB58C",
    density=("rgba(154,168,181,0)", "rgba(190,202,214,0.75)"),
    sequence=("#1B3349", "#22557F", "#2F7CB8", "#63AEE6", "#C3E2FA"),
    diverging=("#F2A15C", "#A9662C", "#3A4754", "#3D7FB5", "#8CC5F2"),
    categories=ON_DARK,
    background="#10161D",
)


def dressed(
    figure: "go.Figure", palette: Palette, height: int, *, legend: bool = True
) -> "go.Figure":
    """The one look of all charts."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 8, "t": 28 if legend else 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": palette.ink, "size": 13, "family": "Source Sans, sans-serif"},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        showlegend=legend,
        hoverlabel={"font": {"size": 13}},
        dragmode=False,
        uirevision="kept",
    )
    axis = {
        "gridcolor": palette.grid,
        "zerolinecolor": palette.grid,
        "automargin": True,
        "tickfont": {"color": palette.muted},
        "title_font": {"color": palette.muted, "size": 12},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure
