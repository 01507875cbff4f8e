"""The pool by source: how many samples each keeps, and what a column is in it."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from core.domain import IntN
from core.rules import Among
from core.selection import Selection
from pages.ui.glossary import term
from pages.ui.panels import OnClick
from pages.ui.sheets import sheet
from pages.ui.state import state

DRAWN = 16  # largest sources on a chart; the table has all


class Shares(NamedTuple):
    """The largest sources: names, kept and all samples, and what random draws take of them."""

    names: list[str]
    kept: list[int]
    total: list[int]
    expected: list[tuple[float, float]]  # mean, standard deviation


def shares(selection: Selection) -> Shares:
    """The largest sources first; what is beyond `DRAWN` of them is one row."""
    n = len(selection.sources)
    total, kept = _count(selection), _count(selection, selection.subset.mask)
    order = np.argsort(-total, kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.minimum(np.arange(n), DRAWN)
    rows = min(n, DRAWN + 1)
    names = [selection.sources[i] for i in order[:DRAWN].tolist()]
    names += [f"{n - DRAWN:,} others"] if n > DRAWN else []
    mean, sd = selection.subset.matched.expected(place[selection.source], rows)
    return Shares(
        names,
        np.bincount(place, kept, rows).astype(int).tolist(),
        np.bincount(place, total, rows).astype(int).tolist(),
        list(zip(mean.tolist(), sd.tolist(), strict=True)),
    )


def keep_only(selection: Selection) -> OnClick:
    """A click on a bar of `shares` makes a rule that keeps its source alone."""
    names = shares(selection).names[:DRAWN]

    def keep(custom: Any) -> None:
        at = int(custom[0] if isinstance(custom, list | tuple) else custom)
        if at < len(names):
            state().add_rule(Among(column="source", values=(names[at],)))

    return keep


def table(selection: Selection, *columns: str) -> None:
    """Samples, share kept and the median of some columns, by source."""
    total, kept = _count(selection), _count(selection, selection.subset.mask)
    mean, _ = selection.subset.matched.expected(selection.source, len(total))
    frame = pd.DataFrame({"source": list(selection.sources), "samples": total, "kept": kept})
    frame["random"] = mean
    frame["share"] = 100 * kept / np.maximum(total, 1)
    number = st.column_config.NumberColumn
    shown = {
        "source": st.column_config.TextColumn("source"),
        "samples": number("samples", format="localized", width="small"),
        "kept": number("kept", format="localized", help=term("kept"), width="small"),
        "random": number("random", format="%.1f", help=term("matched")),
        "share": st.column_config.ProgressColumn(
            "share kept", format="%.1f %%", min_value=0, max_value=100, color="primary"
        ),
    }
    for column in columns:
        medians = pd.Series(selection.columns[column]).groupby(selection.source).median()
        frame[column] = medians.reindex(frame.index)
        label = f"median {column.replace('_', ' ').replace('nll', 'NLL')}"
        shown[column] = number(label, format="%.4f", help=term(column), width="small")
    frame = frame[frame["samples"] > 0].sort_values("samples", ascending=False, kind="stable")
    sheet(frame, hide_index=True, column_config=shown)


def _count(selection: Selection, mask: "np.ndarray | None" = None) -> IntN:
    """Samples of each source, of all or of some."""
    source = selection.source if mask is None else selection.source[mask]
    return np.bincount(source, minlength=len(selection.sources))
