"""The map where the browser has no WebGL: a density on which a lasso and a click do the same."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from core import point_cloud
from core.outlines import outlined
from core.point_cloud import Point
from core.selection import Selection
from pages.ui import data
from pages.ui.charts import cloud
from pages.ui.data_map import Drawn
from pages.ui.panels import open_sample, palette
from pages.ui.point_map import Acts

MODES: tuple[Literal["points"], Literal["box"], Literal["lasso"]] = ("points", "box", "lasso")


def plain_map(
    selection: Selection,
    found: Drawn,
    outlines: Sequence[Sequence[Point]],
    acts: Acts,
    key: str,
    height: int,
) -> None:
    """Draw a map as counts, with `outlines` on it, in map coordinates."""
    rows = data.map_rows(found.map_id)
    kept = point_cloud.fitted(selection.subset.mask, found.points.n, False)

    def said() -> None:
        heard = st.session_state[key]["selection"]
        for drawn in [*heard.get("lasso", []), *heard.get("box", [])][:1]:
            if outline := outlined(corners(drawn), found.points):
                acts.lasso(outline, True)
            return
        for point in heard.get("points", [])[:1]:
            open_sample(selection)(point.get("customdata", -1))

    st.plotly_chart(
        cloud.density(rows["x"], rows["y"], kept, outlines, palette(), height),
        key=key,
        theme=None,
        on_select=said,
        selection_mode=MODES,
        config={"displayModeBar": False, "scrollZoom": True},
    )
    placed, n = found.points.placed, found.points.n
    some = f", of either kind at most {cloud.POINTS:,} as dots" if placed > cloud.POINTS else ""
    lacking = f"; {n - placed:,} without a place on this map" if placed < n else ""
    st.caption(
        f"{placed:,} samples shown{some}{lacking}. This is the map for browsers without WebGL;"
        " with it, the map takes colours and shows texts."
    )


def corners(drawn: dict[str, Sequence[float]]) -> list[Point]:
    """The corners of a lasso, or of a box from its two ends."""
    x, y = drawn["x"], drawn["y"]
    if len(x) == 2:
        return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    return list(zip(x, y, strict=True))
