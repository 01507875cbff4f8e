"""The words and numbers of the Overview, and the scores in small."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.methods import build, catalogue
from core.selection import Selection
from pages.ui import data, data_overview
from pages.ui.charts import overview as charts
from pages.ui.glossary import term
from pages.ui.panels import chart, open_sample, palette, rule_from
from pages.ui.prose import command, label
from pages.ui.sheets import sheet
from pages.ui.state import state

PAGES = {  # where a method's scores are explored
    "differential_entropy": "pages/entropy.py",
    "answer_divergence": "pages/divergence.py",
    "gradient_similarity": "pages/gradients.py",
    "loss_trajectory": "pages/trajectories.py",
    "answer_entropy": "pages/complexity.py",
}
ACROSS = 3  # charts in a row


def sentence(selection: Selection) -> None:
    """One sentence that says it all."""
    run, subset = selection.run, selection.subset
    n_sources = len(np.unique(selection.source))
    base = run.card.get("base") or {}
    model = f" with {label(str(base['name']))} ({run.card['precision']})" if base else ""
    st.markdown(
        f"**{label(run.pool)}** holds {run.n:,} samples from {n_sources:,}"
        f" source{'s' * (n_sources != 1)}. **{catalogue()[run.method].title}** scored"
        f" {_scored(selection):,} of them{model},"
        f" and the recipe keeps **{len(subset.chosen):,}**."
    )


def numbers(selection: Selection) -> None:
    """Four numbers."""
    subset = selection.subset
    tokens, scored = int(np.nansum(subset.n_tokens)), _scored(selection)
    rows = (
        ("Samples", f"{subset.n:,}", f"{len(np.unique(selection.source)):,} sources", None),
        ("Scored", f"{scored:,}", f"{subset.n - scored:,} with a reason instead", "scored"),
        (
            "Kept",
            f"{len(subset.chosen):,}",
            f"{100 * len(subset.chosen) / max(subset.n, 1):.1f} %",
            "kept",
        ),
        ("Response tokens kept", f"{subset.tokens:,}", f"of {tokens:,}", "tokens"),
    )
    for place, (name, number, beside, about) in zip(st.columns(4), rows, strict=True):
        place.metric(
            name,
            number,
            beside,
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help=term(about) if about else None,
        )


def _scored(selection: Selection) -> int:
    """Samples with a score under the recipe's own knobs."""
    return int(np.isfinite(selection.scores.value).sum())


def reasons(selection: Selection) -> None:
    """Why samples are not kept; the counts add up to the pool."""
    counts = selection.subset.counts()
    st.markdown("**Every sample has a reason**")
    sheet(
        {"reason": list(counts), "samples": list(counts.values())},
        hide_index=True,
        column_config={"samples": st.column_config.NumberColumn(format="localized")},
    )


@st.fragment
def scores(selection: Selection) -> None:
    """Each published method's score in small; what is kept in blue, whatever ranks the recipe."""
    if st.session_state.pop("overview_opened", False):
        st.switch_page("pages/reader.py")
    if state().recipe != selection.recipe:  # a drag here made a rule; the page is of the old recipe
        st.rerun()
    runs = data.scored(selection.run.pool)
    cards = catalogue()
    names = [*PAGES, *(n for n, c in cards.items() if _published(n) and n not in PAGES)]
    for start in range(0, len(names) + 1, ACROSS):
        columns = st.columns(ACROSS, gap="medium")
        for place, name in zip(columns, [*names, ""][start : start + ACROSS], strict=False):
            with place:
                _small(selection, name, runs) if name else _key()


def _read(selection: Selection, row: Any) -> None:
    """Open the sample, and the page where it is read."""
    open_sample(selection)(row)
    st.session_state["overview_opened"] = True


def _key() -> None:
    """What the small charts show."""
    with st.container(height="stretch", border=True):
        st.markdown("**How to read them**")
        st.caption(
            "Grey: samples of the pool by score, higher is chosen earlier. Blue: what the recipe"
            " keeps, whichever score ranks it. Dotted: what a random draw of the same size and"
            " length would hold. Blue that follows the dots says that this score had no part in"
            " the choice. Drag to make a rule, click a bar to open a sample of it."
        )


def _published(method: str) -> bool:
    card = catalogue()[method]
    return card.measures and not card.baseline


def _small(selection: Selection, method: str, runs: pd.DataFrame) -> None:
    """One score, with the way to its page; or how to get it."""
    card, pool = catalogue()[method], selection.run.pool
    ids = runs.loc[runs["method"] == method, "run_id"].tolist()
    title, page = card.title, PAGES.get(method)
    with st.container(border=True, height="stretch"):
        if page:
            st.page_link(page, label=f"**{title}**", icon=":material/arrow_forward:")
        else:
            st.markdown(f"**{title}**")
        if not ids:
            st.caption("Not scored yet.")
            query = " --query TARGET" if build(method).needs_query() else ""
            asked = command("sftlens", "score", pool, method)
            st.code(asked + query, language="bash", wrap_lines=True)
            return
        mine = selection.run.method == method
        value = selection.scores.value if mine else data_overview.scores(ids[0])
        n = int(np.isfinite(value).sum())
        st.caption(f"{n:,} of {len(value):,} scored" + (" · ranks the recipe" if mine else ""))
        subset = selection.subset
        chart(
            "",
            lambda: charts.small_scores(value, subset.mask, subset.matched.chance, palette()),
            f"overview_{method}",
            empty="No sample has a score. The reasons are below.",
            on_range=rule_from("score", "" if mine else ids[0]),
            on_click=lambda row: _read(selection, row),
        )
