"""The pool by source: how many samples each keeps, and what calibration changed in it."""

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.selection import Selection
from pages.ui import data
from pages.ui.glossary import term


def shares(selection: Selection) -> tuple[list[str], list[int], list[int]]:
    """Names, kept and total samples of each source, largest first."""
    frame = _counts(selection)
    return frame.index.tolist(), frame["kept"].tolist(), frame["samples"].tolist()


def table(selection: Selection, *columns: str) -> None:
    """Samples, share kept and the median of some columns, by source."""
    frame = _counts(selection)
    frame["share"] = 100 * frame["kept"] / frame["samples"]
    number = st.column_config.NumberColumn
    shown = {
        "source": st.column_config.TextColumn("source"),
        "samples": number("samples", format="localized"),
        "kept": number("kept", format="localized", help=term("kept")),
        "share": st.column_config.ProgressColumn(
            "share kept", format="%.1f %%", min_value=0, max_value=100, color="primary"
        ),
    }
    names = _source(selection)
    for column in columns:
        medians = pd.Series(selection.columns[column]).groupby(names).median()
        frame[column] = medians.reindex(frame.index)
        label = f"median {column.replace('_', ' ').replace('nll', 'NLL')}"
        shown[column] = number(label, format="%.4f", help=term(column))
    st.dataframe(frame.reset_index(names="source"), hide_index=True, column_config=shown)


def _counts(selection: Selection) -> pd.DataFrame:
    """Columns samples and kept, one row a source, largest first."""
    kept = pd.Series(selection.subset.mask).groupby(_source(selection))
    frame = pd.DataFrame({"samples": kept.size(), "kept": kept.sum()})
    return frame.sort_values("samples", ascending=False, kind="stable")


def _source(selection: Selection) -> NDArray[np.object_]:
    """Source of each sample of the run, in pool order."""
    sources: NDArray[np.object_] = data.rows(selection.run.pool)["source"].to_numpy(object)
    return sources[: selection.run.n]
