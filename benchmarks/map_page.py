"""A page with nothing but a map of synthetic points: for `map_time` and for browser tests."""

import json
from typing import Any

import numpy as np
import streamlit as st

from benchmarks.map_time import WORDS, Cloud, blobs
from core import colouring, point_cloud
from core.colouring import Colouring
from core.point_cloud import Label, PackedMap, Point
from pages.ui.panels import palette
from pages.ui.point_map import Acts, Look, point_map

Made = tuple[Cloud, PackedMap, tuple[Label, ...], dict[str, Colouring | None]]


@st.cache_resource
def made(n: int) -> Made:
    """n points, packed once, in every way of colouring."""
    cloud = blobs(n)
    points = point_cloud.pack_points(cloud.x, cloud.y)
    labels = point_cloud.labels(points, cloud.x, cloud.y, cloud.group, WORDS)
    colours = {
        "score": colouring.pack_numbers(cloud.score),
        "difference": colouring.pack_numbers(cloud.score, "diverging"),
        "source": colouring.pack_categories(cloud.group, WORDS),
        "nothing": None,
    }
    return cloud, points, labels, colours


def acts(heard: list[Any], lassos: list[Any]) -> Acts:
    """Writes down all that the map says; the last lasso stays on it."""

    def lasso(outline: tuple[Point, ...], keep: bool) -> None:
        lassos[:] = [(outline, keep)]
        heard.append({"lasso": outline, "keep": keep})

    return Acts(
        lasso,
        lambda row: heard.append({"click": row}),
        lambda row: f"What <b>sample</b> {row} asks for",
        lambda low, high: heard.append({"low": low, "high": high}),
    )


st.set_page_config(layout="wide")
n = int(st.query_params.get("n", "1000"))
cloud, points, labels, colours = made(n)
left, right = st.columns(2)
share = left.slider("Kept (%)", 0, 100, 12)
names = list(colours)
colour = right.selectbox("Colour", names, names.index(st.query_params.get("colour", "score")))
heard = st.session_state.setdefault("heard", [])
lassos = st.session_state.setdefault("lassos", [])
drawn = point_map(
    points,
    colours[colour],
    point_cloud.pack_mask(cloud.score >= np.quantile(cloud.score, 1 - share / 100)),
    Look("Synthetic samples", colour, palette(), "", labels, tuple(lassos), 0, (None, None)),
    acts(heard, lassos),
    key="map",
)
if not drawn:
    st.write("No WebGL here.")
st.code(json.dumps(heard), language=None)
