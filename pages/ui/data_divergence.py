"""The answers that a run sampled: measured parts on disk, read for one sample at a time."""

import streamlit as st

from core import config, lookup
from core.store.runs import Run


def answers(run: Run, sample_id: str) -> list[str] | None:
    """What the model answered, k texts; None where the parts of the run are not here (any more)."""
    name = run.card.get("parts", {}).get("answers")
    folder = config.cache_dir() / "blocks" / str(name)
    if name is None or not folder.is_dir():
        return None
    held = _index(str(folder), folder.stat().st_mtime_ns)
    found = lookup.find(held, sample_id, "text")
    return None if found is None else [bytes(text).decode("utf8", "replace") for text in found]


@st.cache_resource(max_entries=2, show_spinner=False)
def _index(folder: str, written: int) -> lookup.Index:
    """Which part holds which sample; made anew when a part comes or goes."""
    return lookup.index(config.cache_dir() / "blocks" / folder)
