"""What a map can be coloured by: a column of numbers, or categories with their names."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core import point_cloud
from core.colouring import Colouring, Kind, pack_categories
from core.methods import catalogue
from core.rules import named
from core.selection import Selection
from core.store.maps import Of
from pages.ui import data, data_map
from pages.ui.data_map import Drawn, Numbers

CATEGORIES = ("source", "cluster")


def colour_choice(
    selection: Selection, key: str, of: Of = "instructions"
) -> tuple[str, Numbers, Kind]:
    """A choice of what to colour a map by: its name, values (n,) and kind, for `map_panel`."""
    found = data_map.drawn(selection.run.pool, of)
    names = [*_columns(selection), *(CATEGORIES if found else CATEGORIES[:1])]
    name = str(st.selectbox("Colour by", names, key=f"{key}_colour", format_func=named))
    if name == "source":
        return name, selection.source, "category"
    if name == "cluster" and found:
        return name, data.map_rows(found.map_id)["cluster"], "category"
    column = selection.columns[name]
    return name, column, kind_of(column)


def _columns(selection: Selection) -> list[str]:
    """The score, what its method shows in lists, and tokens; nothing is read for their names."""
    shown = catalogue()[selection.run.method].columns
    names = dict.fromkeys(["score", *shown, "n_tokens"])
    return [name for name in names if name in selection.columns and name not in CATEGORIES]


def kind_of(column: Numbers) -> Kind:
    """ "diverging" where numbers lie on both sides of zero."""
    finite = column[np.isfinite(column)]
    return "diverging" if len(finite) and finite.min() < 0 < finite.max() else "sequence"


def colouring(
    selection: Selection,
    found: Drawn,
    colour: str,
    values: Numbers,
    kind: Kind,
    names: Sequence[str],
) -> Colouring:
    """The values as the map takes them; a pool that has grown has more samples than a run."""
    n = found.points.n
    if kind != "category":
        return data_map.numbers(values, n, kind)
    codes = point_cloud.fitted(values, n, -1).astype(np.int64)
    clusters = [text or f"cluster {i + 1}" for i, text in enumerate(found.texts)]
    known = {"source": selection.sources, "cluster": clusters}.get(colour, ())
    numbered = [str(i) for i in range(int(codes.max(initial=-1)) + 1)]
    return pack_categories(codes, list(names or known or numbered))
