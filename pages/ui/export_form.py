"""The widgets of the Export page: how files are written, what they are, how to write them again."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import streamlit as st

from core import companions, export
from core.errors import SFTLensError
from core.export import FileKind, Layout
from core.selection import Selection
from core.trainer_shapes import Shape
from pages.ui import data_export, rights
from pages.ui.prose import label, sentence
from pages.ui.sheets import sheet

SHAPES = {
    "alpaca": "instruction, input, output",
    "messages": "role and content, as in TRL",
    "sharegpt": "from and value, as in LLaMA-Factory",
}
PREVIEW_ROWS = 3
PREVIEW_CHARS = 4000
Written = Mapping[str, Mapping[str, Any]]  # file name -> rows, bytes, sha256
USES: Mapping[str, str] = companions.USES | {
    "subset": "the kept samples, in the order of choice",
    "rejected": "the samples that were not kept, in the order of the pool",
    "manifest.json": "all that is needed to make these files again, with a SHA-256 of each",
}


def counts(selection: Selection) -> None:
    """What leaves, and why the rest stays; the counts add up to the pool."""
    by_reason = selection.subset.counts()
    leaving = by_reason.pop("kept")
    stay = "; ".join(f"{n:,} {label(reason)}" for reason, n in by_reason.items())
    rest = f" **{sum(by_reason.values()):,}** stay: {stay}." if stay else ""
    st.markdown(f"**{leaving:,}** leave.{rest}")


def layout() -> Layout:
    """How the subset is to be written."""
    shape = st.radio("Shape", list(SHAPES), key="export_shape", captions=list(SHAPES.values()))
    file = st.segmented_control(
        "File", ["jsonl", "parquet"], default="jsonl", key="export_file", required=True
    )
    extras = st.checkbox(
        "Add trainer files, a dataset card and a report", value=True, key="export_extras"
    )
    scores = st.checkbox("Add id, score and reason to each record", key="export_scores")
    rejected = st.checkbox(
        "Write the rejected side too, with the same columns", key="export_rejected"
    )
    return Layout(cast(Shape, shape), cast(FileKind, file), scores, rejected, extras)


def make(selection: Selection, layout: Layout) -> tuple[Path, Written] | None:
    """The button that writes the files; their folder and facts once they are there."""
    kept = len(selection.subset.chosen)
    if not kept:
        st.warning(
            "The recipe keeps nothing. Widen a rule or raise the budget.", icon=":material/warning:"
        )
        return None
    name = f"Make the files ({kept:,} samples)"
    key = (selection.recipe.key, layout)
    may = rights.lock("export")
    if st.button(name, type="primary", icon=":material/ios_share:", key="export_make", **may):
        try:
            folder, manifest = data_export.make_files(selection.recipe, layout)
        except SFTLensError as error:
            st.error(sentence(error), icon=":material/error:")
            return None
        st.session_state["export_made"] = (key, folder, manifest["files"])
    found = st.session_state.get("export_made")
    return (found[1], found[2]) if found and found[0] == key and not may["disabled"] else None


def files(folder: Path, written: Written) -> None:
    """Every file with what it is for, and ways to have one or all of them."""
    names = [*written, "manifest.json"]
    st.markdown(f":material/check_circle: **{len(names):,} files written**")
    table = {
        "file": names,
        "what it is for": [USES.get(name) or USES[name.partition(".")[0]] for name in names],
        "rows": [f"{written[n]['rows']:,}" if _holds_samples(n) else "" for n in names],
        "bytes": [f"{(folder / name).stat().st_size:,}" for name in names],
        "SHA-256": [str(written.get(name, {}).get("sha256", ""))[:16] for name in names],
    }
    sheet(
        table,
        hide_index=True,
        column_config={"what it is for": st.column_config.TextColumn(width="large")},
    )
    with st.container(horizontal=True, gap="xsmall", key="export_files"):
        _download("All files (.zip)", f"{folder.name}.zip", "folder_zip", folder, names)
        for name in names:
            _download(name, name, "download", folder, [name])
    st.caption(f"In {label(str(folder))}")


def _holds_samples(name: str) -> bool:
    """Whether the file holds records; the others stand beside them."""
    return name not in USES


def _download(label: str, file: str, icon: str, folder: Path, names: list[str]) -> None:
    """A button that gives one file, or several in an archive; read when it is clicked."""
    alone = label == file
    opened = partial(data_export.one_file, folder / file)
    st.download_button(
        label,
        data=rights.later(opened if alone else partial(data_export.all_files, folder, names)),
        file_name=file,
        icon=f":material/{icon}:",
        key=f"export_get_{label}",
        on_click="ignore",
        type="tertiary" if alone else "secondary",
    )


def again(selection: Selection, layout: Layout) -> None:
    """The command that writes the same bytes, and the one that checks them."""
    st.markdown("**The same bytes from the command line**")
    st.code(export.command(selection.recipe, layout, "my_subset"), language="bash", wrap_lines=True)
    st.code("sftlens replay my_subset/manifest.json", language="bash", wrap_lines=True)


def preview(selection: Selection, layout: Layout) -> None:
    """The first records as they will be written."""
    st.markdown(f"**The first records, in the shape {layout.shape}**")
    records = data_export.export_preview(selection.recipe, layout, PREVIEW_ROWS)
    if not records:
        st.info("Nothing would be written.", icon=":material/info:")
        return
    with st.container(height=430, border=False):
        for record in records:
            text = json.dumps(record, ensure_ascii=False, indent=2)
            st.code(text[:PREVIEW_CHARS], language="json", wrap_lines=True)
            if (more := len(text) - PREVIEW_CHARS) > 0:
                st.caption(f"{more:,} more characters of this record are written, not shown.")
