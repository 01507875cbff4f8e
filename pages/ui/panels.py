"""A chart in its place: loading, drawn, empty with its reason, or failed with a way on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import SFTLensError
from pages.ui import charts

if TYPE_CHECKING:
    import plotly.graph_objects as go


def chart(
    title: str, make: "Callable[[], go.Figure | None]", key: str, *, empty: str, about: str = ""
) -> None:
    """Draw a chart in one of its three designed states: loading, empty with its reason, failed."""
    if title:
        st.markdown(f"**{title}**", help=about or None)
    slot = st.skeleton(height=210)
    try:
        figure = make()
    except Exception as error:  # a chart that fails must not take the page with it
        with slot.container(border=True):
            text = str(error) if isinstance(error, SFTLensError) else "Something went wrong here."
            st.markdown(f":material/error: This chart could not be drawn. {text}")
            st.button("Try again", key=f"{key}_again")
        return
    if figure is None:
        slot.info(empty, icon=":material/info:")
        return
    slot.plotly_chart(figure, key=key, theme=None, config={"displayModeBar": False})


def palette() -> charts.Palette:
    """The colours of the theme that this person sees."""
    return charts.DARK if st.context.theme.type == "dark" else charts.LIGHT
