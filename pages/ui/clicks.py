"""Clicks on the marks of a chart. Streamlit tells a chart's clicks or its drags, not both."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

SCRIPT = Path(__file__).with_name("browser") / "clicks.js"


@cache
def _component() -> Any:
    js = SCRIPT.read_text("utf8")
    return st.components.v2.component("sftlens_clicks", js=js)


def listen(chart: str, clicked: Callable[[Any], None]) -> None:
    """Call `clicked` with the `customdata` of a mark that is clicked.

    `chart` is the key of a Plotly chart. What listens shows nothing.
    """
    key = f"{chart}_clicks"

    def told() -> None:
        mark = getattr(st.session_state[key], "mark", None)
        if mark is not None:
            clicked(mark)

    _component()(data={"key": chart}, key=key, on_mark_change=told, height=1)
