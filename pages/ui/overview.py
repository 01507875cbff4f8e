"""The words and numbers of the Overview."""

import numpy as np
import streamlit as st

from core.methods import catalogue
from core.selection import Selection
from pages.ui.glossary import term


def sentence(selection: Selection) -> None:
    """One sentence that says it all."""
    run, subset = selection.run, selection.subset
    n_sources = len(selection.sources)
    model = f"{run.card['base']['name']} ({run.card['precision']})"
    st.markdown(
        f"**{run.pool}** holds {run.n:,} samples from {n_sources:,}"
        f" source{'s' * (n_sources != 1)}. **{catalogue()[run.method].title}** scored"
        f" {_scored(selection):,} of them with {model},"
        f" and the recipe keeps **{len(subset.chosen):,}**."
    )


def numbers(selection: Selection) -> None:
    """Four numbers."""
    subset = selection.subset
    tokens = int(np.nansum(subset.n_tokens))
    scored = _scored(selection)
    a, b, c, d = st.columns(4)
    a.metric("Samples", f"{subset.n:,}", border=True, height="stretch")
    b.metric(
        "Scored",
        f"{scored:,}",
        f"{subset.n - scored:,} with a reason instead",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=term("scored"),
    )
    c.metric(
        "Kept",
        f"{len(subset.chosen):,}",
        f"{100 * len(subset.chosen) / subset.n:.1f} %",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=term("kept"),
    )
    d.metric(
        "Response tokens kept",
        f"{subset.tokens:,}",
        f"of {tokens:,}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=term("tokens"),
    )


def _scored(selection: Selection) -> int:
    """Samples with a score under the recipe's own knobs."""
    return int(np.isfinite(selection.scores.value).sum())


def reasons(selection: Selection) -> None:
    """Why samples are not kept; the counts add up to the pool."""
    counts = selection.subset.counts()
    st.markdown("**Every sample has a reason**")
    st.dataframe(
        {"reason": list(counts), "samples": list(counts.values())},
        hide_index=True,
        column_config={"samples": st.column_config.NumberColumn(format="localized")},
    )
