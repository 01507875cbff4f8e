"""A map of up to a million points, drawn by the browser. Places are sent once, bits afterwards.

Each part of a map (the script, places, numbers, kept samples, words) is an element of its own,
because Streamlit sends an element again when anything of it changes, and not at all while it
stays. The parts meet in the browser, see `browser/room.js`. What comes back is small: an outline,
a row, a range.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from core.colouring import Bounds, Colouring
from core.outlines import drawn_outline
from core.point_cloud import Label, PackedMap, Point, key_of
from pages.ui.charts import Palette

HERE = Path(__file__).with_name("browser")
VIEW = ("room", "space", "words", "legend", "count", "draw", "gestures", "view", "acts")
Part = tuple[str, bytes]  # key and payload


@dataclass(frozen=True)
class Look:
    """What stands around the points: all in words and units."""

    name: str  # read aloud
    title: str  # of the colours, with the unit
    palette: Palette
    about: str = ""
    labels: tuple[Label, ...] = ()
    rules: tuple[tuple[tuple[Point, ...], bool], ...] = ()  # lassos of the recipe; False: drop
    opened: int | None = None  # row of the opened sample
    bounds: Bounds | None = None  # None: colours have no handles
    height: int = 560


@dataclass(frozen=True)
class Acts:
    """What follows when a person does something. `text` gives the first line of a row."""

    lasso: Callable[[tuple[Point, ...], bool], None]
    click: Callable[[int], None]
    text: Callable[[int], str]
    bound: Callable[[float | None, float | None], None] | None = None


@cache
def _source(*names: str) -> str:
    return "\n".join((HERE / f"{name}.js").read_text("utf8") for name in names)


@cache
def _component(name: str) -> Any:
    """One of the three components: `part`, `ask` and `view`."""
    if name != "view":
        return st.components.v2.component(f"sftlens_{name}", js=_source("room", name))
    html, css = ((HERE / f"map.{kind}").read_text("utf8") for kind in ("html", "css"))
    return st.components.v2.component("sftlens_view", html=html, css=css, js=_source(*VIEW))


def point_map(
    points: PackedMap,
    colouring: Colouring | None,
    kept: Part,
    look: Look,
    acts: Acts,
    *,
    key: str,
) -> bool:
    """Draw a map. Not inside a fragment: a rule made here changes the whole page.

    Without `colouring`, kept samples have the colour of kept. `kept` is a key and `pack_mask`.

    Returns: False when this browser has no WebGL, and something else must be drawn.
    """
    if st.session_state.get(f"{key}_no_webgl"):
        return False
    with st.container(gap=None):
        hearers = _hearers(points, colouring, acts, key)
        _component("view")(key=key, data={"room": key}, **hearers)
        _part(key, "points", points.key, points.payload)
        if colouring is not None:
            _part(key, "values", colouring.key, colouring.payload)
        _part(key, "kept", *kept)
        words = json.dumps(_words(points, colouring, kept[0], look)).encode()
        _part(key, "words", key_of(words), words)
        _answers(key, acts.text)
    return True


def framed(room: str, role: str, key: str, payload: bytes) -> bytes:
    """A part as it is sent: the length of its head, the head, the payload."""
    head = json.dumps({"room": room, "role": role, "key": key}).encode()
    return struct.pack("<I", len(head)) + head + payload


def _part(room: str, role: str, key: str, payload: bytes) -> None:
    _component("part")(key=f"{room}_{role}", data=framed(room, role, key, payload))


@st.fragment
def _answers(room: str, text: Callable[[int], str]) -> None:
    """Answers what stands at a row. A fragment of its own, so that nothing else is drawn anew."""
    key = f"{room}_ask"

    def asked() -> None:
        row = _said(key, "row")
        if isinstance(row, int):
            st.session_state[f"{key}_answer"] = {"row": row, "text": text(row)}

    answer = st.session_state.get(f"{key}_answer", {"row": None, "text": ""})
    _component("ask")(key=key, data={"room": room, **answer}, on_row_change=asked)


def _said(key: str, name: str) -> Any:
    """What the browser has just said, if it did."""
    return (st.session_state.get(key) or {}).get(name)


def _hearers(
    points: PackedMap, colouring: Colouring | None, acts: Acts, key: str
) -> dict[str, Callable[[], None]]:
    """What follows when the browser says something; whatever else it says is passed over."""

    def drawn() -> None:
        said = _said(key, "outline")
        outline = drawn_outline(said.get("outline"), points) if isinstance(said, dict) else None
        if outline:
            acts.lasso(outline, said.get("keep") is not False)

    def opened() -> None:
        row = _said(key, "opened")
        if isinstance(row, int) and 0 <= row < points.n:
            acts.click(row)

    def bounded() -> None:
        if acts.bound is not None and colouring is not None:
            acts.bound(*colouring.numbers(_said(key, "range")))

    def told() -> None:
        st.session_state[f"{key}_no_webgl"] = _said(key, "webgl") is False

    return {
        "on_outline_change": drawn,
        "on_opened_change": opened,
        "on_range_change": bounded,
        "on_webgl_change": told,
    }


def _words(points: PackedMap, colouring: Colouring | None, kept: str, look: Look) -> dict[str, Any]:
    """All that is small: names, colours, labels, lassos, and which parts belong to them."""
    bounds = None
    if colouring is not None and colouring.can_be_bounded and look.bounds is not None:
        bounds = colouring.shares(look.bounds)
    return {
        "parts": {"points": points.key, "values": colouring and colouring.key, "kept": kept},
        "n": points.n,
        "placed": points.placed,
        "whole": points.whole,
        "name": look.name,
        "height": look.height,
        "opened": look.opened,
        "labels": [asdict(label) for label in look.labels],
        "rules": [
            {"outline": points.to_units(outline), "keep": keep} for outline, keep in look.rules
        ],
        "palette": asdict(look.palette),
        "colouring": {
            "title": look.title,
            "about": look.about,
            "kind": colouring.kind if colouring else "plain",
            "low": colouring.low if colouring else 0,
            "high": colouring.high if colouring else 1,
            "clipped": bool(colouring and colouring.clipped),
            "names": colouring.names if colouring else (),
            "range": bounds,
        },
    }
