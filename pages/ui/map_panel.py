"""A pool's map on a page: kept samples in colour over the others in grey.

A lasso makes a rule, a click opens the sample, the handles of the legend bound the column.
"""

from collections.abc import Sequence

import streamlit as st

from core import point_cloud
from core.colouring import Kind
from core.point_cloud import Point
from core.rules import Lasso, Range, named
from core.selection import Selection
from core.store.maps import Of
from pages.ui import data_map
from pages.ui.data_map import Drawn, Numbers
from pages.ui.glossary import term
from pages.ui.map_colours import colour_choice, colouring
from pages.ui.map_plain import plain_map
from pages.ui.panels import five, open_sample, palette
from pages.ui.point_map import Acts, Look, point_map
from pages.ui.prose import command, label
from pages.ui.state import state

__all__ = ["colour_choice", "map_panel"]

KEYS = (
    "Arrows move, plus and minus zoom, 0 shows all, L lasso, B box, V move, D keeps or drops what"
    " is inside, Enter opens the sample in the middle."
)


def map_panel(
    selection: Selection,
    of: Of,
    colour: str,
    values: Numbers,
    key: str,
    *,
    kind: Kind = "sequence",
    names: Sequence[str] = (),
    unit: str = "",
    about: str = "",
    height: int = 560,
) -> None:
    """Draw the newest map of the selection's pool. Not inside a fragment.

    Args:
        selection: says what is kept.
        of: what was laid out.
        colour: name of a column; where the run has it, its numbers can be bounded on the legend.
        values: (n,) its numbers, or for "category" positions in `names`, -1 for none.
        key: of the panel, beginning with the page.
        kind: "sequence", "diverging" around zero, or "category".
        names: of the categories; those of "source" and "cluster" are known.
        unit: of the numbers.
        about: help on the title.
        height: of the picture in pixels.
    """
    st.markdown(f"**Map of the {of}**", help=about or term("map"))
    found = data_map.drawn(selection.run.pool, of)
    if found is None:
        _no_map(selection.run.pool, of)
        return
    points, acts = found.points, _acts(selection, found, colour)
    if not points.placed:
        st.info("No sample has a place on this map: none has a vector.", icon=":material/info:")
        return
    kept = point_cloud.pack_mask(point_cloud.fitted(selection.subset.mask, points.n, False))
    colours = colouring(selection, found, colour, values, kind, names)
    look = _look(selection, found, of, colour, unit, height)
    wanted = st.query_params.get("map") != "plain"
    if not (wanted and point_map(points, colours, kept, look, acts, key=f"{key}_map")):
        outlines = [rule.polygon for rule in _lassos(found)]
        plain_map(selection, found, outlines, acts, f"{key}_plain", height)
    if found.note:
        st.caption(label(found.note[:1].upper() + found.note[1:]) + ".")


def _look(selection: Selection, found: Drawn, of: Of, colour: str, unit: str, height: int) -> Look:
    opened, bound = state().sample, _bound(selection, colour)
    return Look(
        name=f"Map of the {of}. {KEYS}",
        title=f"{named(colour)} ({unit})" if unit else named(colour),
        palette=palette(),
        labels=found.labels,
        rules=tuple((rule.polygon, rule.keep) for rule in _lassos(found)),
        opened=None if opened is None else selection.ids.find(opened),
        bounds=None if bound is None else (bound.low, bound.high),
        height=height,
    )


def _lassos(found: Drawn) -> list[Lasso]:
    """The recipe's lassos on this map."""
    recipe = state().recipe
    rules = recipe.rules if recipe else ()
    return [r for r in rules if isinstance(r, Lasso) and r.map_id == found.map_id]


def _bound(selection: Selection, colour: str) -> Range | None:
    """The recipe's range on a column, an open one where it has none; None for no column."""
    column, recipe = selection.columns.get(colour), state().recipe
    if column is None or column.ndim != 1 or recipe is None:
        return None
    run = "" if selection.run.run_id == recipe.run_id else selection.run.run_id
    own = Range(column=colour, run=run)
    return next((r for r in recipe.rules if isinstance(r, Range) and r.slot == own.slot), own)


def _acts(selection: Selection, found: Drawn, colour: str) -> Acts:
    pool, bound = selection.run.pool, _bound(selection, colour)

    def lasso(outline: tuple[Point, ...], keep: bool) -> None:
        state().add_rule(Lasso(map_id=found.map_id, polygon=outline, keep=keep))

    def bounded(low: float | None, high: float | None) -> None:
        if bound is not None and low is None and high is None:
            state().drop_rule(bound)
        elif bound is not None:
            state().add_rule(bound.model_copy(update={"low": five(low), "high": five(high)}))

    def text(row: int) -> str:
        return data_map.first_line(pool, row)

    return Acts(lasso, open_sample(selection), text, bounded)


def _no_map(pool: str, of: Of) -> None:
    """No such map: the command that makes it. The page follows by itself."""
    with st.container(border=True):
        if data_map.outgrown(pool, of):
            st.write("The pool has changed since this map was made. Make it again:")
        else:
            st.write(f"There is no map of the {of} of this pool yet. Make it:")
        more = "" if of == "instructions" else f" --of {of}"
        st.code(command("sftlens", "map", pool) + more, language="bash")
        st.caption("It takes minutes, and this page follows by itself as soon as it is there.")
