"""Cached reads of the map: packed once for all sessions, and the first line of a sample."""

from dataclasses import dataclass
from typing import Any

import streamlit as st
from numpy.typing import NDArray

from core import colouring, point_cloud, store
from core.colouring import Colouring, Kind
from core.point_cloud import Label, PackedMap
from core.store import maps as stored_maps
from core.store.maps import Of
from pages.ui import data
from pages.ui.data import told

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Drawn:
    """A map of a pool, ready to be drawn. `texts` has each cluster's words."""

    map_id: str
    points: PackedMap
    labels: tuple[Label, ...]
    texts: tuple[str, ...]
    note: str


@told
def drawn(pool: str, of: Of) -> Drawn | None:
    """The newest map of a pool as it is now, packed; None where there is none."""
    found = data.maps(pool)
    ids = found.loc[(found["of"] == of) & found["current"], "map_id"].tolist()
    return _drawn(data.place(), ids[0]) if ids else None


def outgrown(pool: str, of: Of) -> bool:
    """Whether there was a map, and the pool has changed since."""
    found = data.maps(pool)
    return bool((found["of"] == of).any())


@st.cache_resource(max_entries=4, show_spinner=False)
def _drawn(at: tuple[str, int], map_id: str) -> Drawn | None:
    rows = data.map_rows(map_id)
    with store.connect() as con:
        stored = stored_maps.get_map(con, map_id)
    if stored is None:
        return None
    points = point_cloud.pack_points(rows["x"], rows["y"])
    places = (rows["x"], rows["y"], rows["cluster"])
    labels = point_cloud.labels(points, *places, stored.labels)
    return Drawn(map_id, points, labels, stored.labels, stored.note)


def numbers(values: Numbers, n: int, kind: Kind) -> Colouring:
    """Numbers (n,) as colours, packed once as long as they stay the same."""
    column = point_cloud.fitted(values, n, float("nan"))
    return _numbers(point_cloud.fingerprint(column), kind, column)


@st.cache_resource(max_entries=8, show_spinner=False)
def _numbers(at: str, kind: Kind, _column: Numbers) -> Colouring:
    return colouring.pack_numbers(_column, kind)


@told
def first_line(pool: str, row: int) -> str:
    """The first line of a sample's instruction, as far as it was stored for a glance."""
    preview = str(data.previews(pool, [row])["preview"].iloc[0])
    return next((line for line in preview.splitlines() if line.strip()), "")
