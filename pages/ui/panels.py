"""A chart in its place: loading, drawn, empty with its reason, or failed with a way on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import streamlit as st

from core.errors import SFTLensError
from core.rules import Range
from core.selection import Selection
from pages.ui import charts, clicks
from pages.ui.prose import sentence
from pages.ui.state import state

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROWS = "rows"  # meta of a heat map whose customdata are positions of samples

OnRange = Callable[[float, float], None]
OnBox = Callable[[float, float, float, float], None]
OnClick = Callable[[Any], None]


def chart(
    title: str,
    make: "Callable[[], go.Figure | None]",
    key: str,
    *,
    empty: str,
    about: str = "",
    on_range: OnRange | None = None,
    on_box: OnBox | None = None,
    on_click: OnClick | None = None,
) -> None:
    """Draw a chart in one of its three designed states: loading, empty with its reason, failed.

    Args:
        title: stands above it in bold.
        make: the figure, or None where there is nothing to draw.
        key: of the chart, beginning with the page.
        empty: why there is nothing to draw, and what to do.
        about: help on the title.
        on_range: told (low, high) of a horizontal drag.
        on_box: told (x0, x1, y0, y1) of a dragged box.
        on_click: told the `customdata` of the mark that was clicked.
    """
    if title:
        st.markdown(f"**{title}**", help=about or None)
    slot = st.skeleton(height=210)
    try:
        figure = make()
    except Exception as error:  # a chart that fails must not take the page with it
        with slot.container(border=True):
            text = (
                sentence(error) if isinstance(error, SFTLensError) else "Something went wrong here."
            )
            st.markdown(f":material/error: This chart could not be drawn. {text}")
            st.button("Try again", key=f"{key}_again")
        return
    if figure is None:
        slot.info(empty, icon=":material/info:")
        return
    with slot:
        _draw(figure, key, on_range, on_box, on_click)


def _draw(
    figure: "go.Figure",
    key: str,
    on_range: OnRange | None,
    on_box: OnBox | None,
    on_click: OnClick | None,
) -> None:
    """The figure, and what follows from a drag or a click on it."""
    drag = on_range is not None or on_box is not None
    if not drag and on_click is None:
        st.plotly_chart(figure, key=key, theme=None, config={"displayModeBar": False})
        return
    if drag:
        direction: Literal["h", "any"] = "h" if on_range else "any"
        figure.update_layout(dragmode="select", selectdirection=direction, newselection=_frame())
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    with st.container(gap=None):
        st.plotly_chart(
            figure,
            key=key,
            theme=None,
            config={"displayModeBar": False},
            on_select=lambda: _selected(key, on_range, on_box, on_click),
            selection_mode="box" if drag else "points",
        )
        if on_click is not None and (drag or any(trace.meta == ROWS for trace in figure.data)):
            clicks.listen(key, on_click)


def _frame() -> dict[str, Any]:
    """How a dragged box looks."""
    return {"line": {"color": palette().threshold, "width": 1, "dash": "solid"}}


def _selected(
    key: str, on_range: OnRange | None, on_box: OnBox | None, on_click: OnClick | None
) -> None:
    """What a person did on a chart: a drag, a click, or nothing any more."""
    said = st.session_state[key]["selection"]
    if boxes := said.get("box"):
        x, y = boxes[0]["x"], boxes[0]["y"]
        if on_range is not None:
            on_range(min(x), max(x))
        elif on_box is not None:
            on_box(min(x), max(x), min(y), max(y))
    elif on_click is not None and (points := said.get("points")):
        custom = points[0].get("customdata")
        if custom is not None:
            on_click(custom)


@overload
def five(end: float) -> float: ...
@overload
def five(end: float | None) -> float | None: ...
def five(end: float | None) -> float | None:
    """Where a hand has put an end, in five digits: no hand is surer."""
    return None if end is None else float(f"{end:.5g}")


def rule_from(column: str, run: str = "") -> OnRange:
    """A drag over a column makes a rule of its range."""

    def make(low: float, high: float) -> None:
        state().add_rule(Range(column=column, run=run, low=five(low), high=five(high)))

    return make


def open_sample(selection: Selection) -> OnClick:
    """A click on a mark opens the sample at the position in its `customdata`."""

    def open_it(custom: Any) -> None:
        row = custom[0] if isinstance(custom, list | tuple) else custom
        if 0 <= int(row) < len(selection.ids):
            state().open(selection.ids[int(row)])

    return open_it


def palette() -> charts.Palette:
    """The colours of the theme that this person sees."""
    return charts.DARK if st.context.theme.type == "dark" else charts.LIGHT
