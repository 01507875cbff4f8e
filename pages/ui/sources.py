"""The pool by source: how many samples each keeps, and what calibration changed in it."""

import numpy as np
import pandas as pd
import streamlit as st

from core.selection import Selection
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
    for column in columns:
        medians = pd.Series(selection.columns[column]).groupby(selection.source).median()
        frame[column] = medians.reindex(frame["number"]).to_numpy()
        label = f"median {column.replace('_', ' ').replace('nll', 'NLL')}"
        shown[column] = number(label, format="%.4f", help=term(column))
    frame = frame.drop(columns="number").reset_index(names="source")
    st.dataframe(frame, hide_index=True, column_config=shown)


def _counts(selection: Selection) -> pd.DataFrame:
    """Columns number, samples and kept, one row a source, largest first."""
    width = len(selection.sources)
    samples = np.bincount(selection.source, minlength=width)
    kept = np.bincount(selection.source[selection.subset.mask], minlength=width)
    columns = {"number": np.arange(width), "samples": samples, "kept": kept}
    frame = pd.DataFrame(columns, index=list(selection.sources))
    return frame[samples > 0].sort_values("samples", ascending=False, kind="stable")
