"""The k answers to one instruction: side by side, their cosines, and their own small cloud."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core import clouds
from core.differences import differences
from core.selection import Selection
from pages.ui import data, data_divergence
from pages.ui.charts import divergence
from pages.ui.glossary import term
from pages.ui.panels import chart, palette
from pages.ui.prose import clipped
from pages.ui.state import state

HERE = Path(__file__).with_name("browser")
CLIPPED = 600  # characters of an instruction
GONE = (
    "The words of these answers are not in this cache: a bundled demo and a cleaned cache keep"
    " only their cosines. Scoring again measures what is missing."
)


@cache
def _component() -> Any:
    css, js = ((HERE / f"answers.{kind}").read_text("utf8") for kind in ("css", "js"))
    html = "<div class='answers'></div>"
    return st.components.v2.component("sftlens_answers", html=html, css=css, js=js)


def panel(own: Selection) -> None:
    """The answers to the opened instruction, or to the first that is kept."""
    st.subheader("The answers to one instruction", anchor=False)
    row = _row(own)
    if row is None:
        st.info("Click a sample above or in the list to see its answers.", icon=":material/info:")
        return
    sample = data.sample(own.run.pool, own.ids[row])
    st.text(clipped(sample.instruction, CLIPPED))
    gram = _gram(own, row)
    if not len(clouds.counted(gram)):
        st.info("The model gave no answer with any content here.", icon=":material/info:")
        return
    names = [f"A{k + 1}" for k in range(len(gram))]
    reference = _reference(gram, names)
    _side_by_side(data_divergence.answers(own.run, sample.sample_id), gram, names, reference)
    _shape(gram, names, reference)


def _row(own: Selection) -> int | None:
    """Position of the opened sample; of the first kept one while none is open."""
    opened = state().sample
    found = None if opened is None else own.ids.find(opened)
    if found is None and len(own.subset.chosen):
        return int(own.subset.chosen[0])
    return found


def _gram(own: Selection, row: int) -> NDArray[np.float64]:
    """The cosines (k, k) between the answers to a sample."""
    found = np.asarray(own.columns.get("cosines", np.zeros((row + 1, 0)))[row], np.float64)
    k = round(len(found) ** 0.5)
    return found.reshape(k, k)


def _reference(gram: NDArray[np.float64], names: list[str]) -> int:
    """Which answer the others are marked against; the most central one unless a person says."""
    centre = clouds.central(gram)
    usable = clouds.counted(gram).tolist()
    chosen = st.segmented_control(
        "Marked against",
        usable,
        default=centre,
        format_func=lambda k: f"{names[k]}, the most central" if k == centre else names[k],
        key="divergence_reference",
        required=True,
        help=term("central"),
    )
    return centre if chosen is None else int(chosen)


def _side_by_side(
    texts: list[str] | None, gram: NDArray[np.float64], names: list[str], reference: int
) -> None:
    """The words of each answer; those that the reference does not have are marked."""
    if texts is None or len(texts) != len(names):
        st.info(GONE, icon=":material/inventory_2:")
        return
    cards, whole = [], True
    for k, text in enumerate(texts):
        pieces, compared = differences(texts[reference], text)
        whole &= compared
        about = "marked against" if k == reference else f"cosine {gram[reference, k]:.3f}"
        cards.append(
            {"name": names[k], "about": about, "reference": k == reference, "pieces": pieces}
        )
    _component()(data={"answers": cards}, key="divergence_answers", height="content")
    st.caption(
        f"Underlined: what {names[reference]} does not say there."
        + ("" if whole else " Of very long answers only the beginning is compared.")
    )


def _shape(gram: NDArray[np.float64], names: list[str], reference: int) -> None:
    """Cosine matrix and cloud of the answers with content."""
    rows = clouds.counted(gram)
    some, labels = gram[np.ix_(rows, rows)], [names[k] for k in rows]
    places, share = clouds.plane(some)
    left, right = st.columns(2, gap="large")
    with left:
        chart(
            "Cosines between the answers",
            lambda: divergence.cosines(some, labels, palette()),
            "divergence_cosines",
            empty="There is no answer with content.",
            about=term("cosine"),
        )
    with right:
        chart(
            "Their cloud",
            lambda: divergence.cloud(places, share, labels, names[reference], palette()),
            "divergence_cloud",
            empty="One answer is no cloud.",
            about=term("cloud"),
        )
