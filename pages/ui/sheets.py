"""Tables whose texts no spreadsheet takes for a formula: anybody may download or copy one."""

from typing import Any

import pandas as pd
import streamlit as st

from core import verdicts
from pages.ui.prose import JOINER


def sheet(rows: Any, **options: Any) -> Any:
    """`st.dataframe` of these rows, with guarded texts; returns what it returns.

    An invisible joiner stands before a text that would be a formula: what is read stays the same.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    shown = {name: frame[name].map(guarded) for name in frame.columns if _has_texts(frame[name])}
    return st.dataframe(frame.assign(**shown) if shown else frame, **options)


def guarded(cell: Any) -> Any:
    """A cell as it may go into a spreadsheet."""
    return verdicts.guarded(cell, JOINER) if isinstance(cell, str) else cell


def _has_texts(column: "pd.Series[Any]") -> bool:
    return not pd.api.types.is_numeric_dtype(column) and bool(
        column.map(lambda cell: isinstance(cell, str)).any()
    )
