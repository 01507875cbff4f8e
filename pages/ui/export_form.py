"""The widgets of the Export page."""

import json
from pathlib import Path
from typing import cast

import streamlit as st

from core import export
from core.errors import SFTLensError
from core.export import FileKind, Layout
from core.selection import Selection
from core.trainer_shapes import Shape
from pages.ui import data

SHAPES = {
    "alpaca": "instruction, input, output",
    "messages": "role and content, as in TRL",
    "sharegpt": "from and value, as in Axolotl",
}
PREVIEW_ROWS = 3


def layout() -> Layout:
    """How the subset is to be written."""
    shape = st.radio("Shape", list(SHAPES), key="export_shape", captions=list(SHAPES.values()))
    file = st.segmented_control(
        "File", ["jsonl", "parquet"], default="jsonl", key="export_file", required=True
    )
    scores = st.checkbox("Add id, score and reason to each record", key="export_scores")
    rejected = st.checkbox(
        "Write the rejected side too, with the same columns", key="export_rejected"
    )
    return Layout(cast(Shape, shape), cast(FileKind, file), scores, rejected)


def make(selection: Selection, layout: Layout) -> None:
    """The button, the files it made, and the command that makes the same."""
    if not len(selection.subset.chosen):
        st.warning(
            "The recipe keeps nothing. Widen a rule or raise the budget.", icon=":material/warning:"
        )
        return
    name = f"Make the files ({len(selection.subset.chosen):,} samples)"
    key = (selection.recipe.key, layout)
    if st.button(name, type="primary", icon=":material/ios_share:", key="export_make"):
        try:
            st.session_state["export_made"] = (key, *data.make_files(selection.recipe, layout))
        except SFTLensError as error:
            st.error(str(error), icon=":material/error:")
            return
    made = st.session_state.get("export_made")
    if made and made[0] == key:
        _files(made[1], made[2]["files"])
    st.markdown("**The same bytes from the command line**")
    st.code(export.command(selection.recipe, layout, "my_subset"), language="bash", wrap_lines=True)
    st.code("sftlens replay my_subset/manifest.json", language="bash", wrap_lines=True)


def _files(folder: Path, files: dict[str, dict[str, object]]) -> None:
    st.success(f"Written to {folder}", icon=":material/check_circle:")
    for name in [*files, "manifest.json"]:
        facts = files.get(name)
        size = (folder / name).stat().st_size
        label = f"{name} ({size:,} bytes)"
        st.download_button(
            label,
            data=(folder / name).read_bytes,
            file_name=name,
            icon=":material/download:",
            key=f"export_get_{name}",
            on_click="ignore",
        )
        if facts:
            st.caption(f"{facts['rows']:,} rows · SHA-256 {str(facts['sha256'])[:16]}…")


def preview(selection: Selection, layout: Layout) -> None:
    """The first records as they will be written."""
    st.markdown("**The first records**")
    records = data.export_preview(selection.recipe, layout, PREVIEW_ROWS)
    if not records:
        st.info("Nothing would be written.", icon=":material/info:")
    for record in records:
        text = json.dumps(record, ensure_ascii=False, indent=2)
        st.code(text[:4000], language="json", wrap_lines=True)
