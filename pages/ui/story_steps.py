"""The five steps of the Story: one message each, in big type, with one thing to look at."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from core import telling
from core.contrasts import Contrast
from core.policies.budget import Budget
from core.selection import Selection
from core.summary import summarise
from pages.ui import data, data_story
from pages.ui.charts import distributions, story
from pages.ui.panels import chart, palette
from pages.ui.recipe_bar import plain

SHARES = (1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100)  # per cent on the slider
CLIPPED = 360  # characters of a text
SOURCES = 8


def sentence(selection: Selection) -> None:
    """What was kept."""
    told = summarise(selection)
    st.title(f"We keep :primary[{told.kept:,}] of {told.n:,} samples.", anchor=False)
    st.subheader(f"The rest teaches less, says {told.method.lower()}.", anchor=False)
    st.progress(told.kept / told.n)
    st.markdown(
        f"That is {100 * told.kept / told.n:.1f} % of the pool **{plain(told.pool)}** and"
        f" {100 * told.tokens / max(told.tokens_before, 1):.1f} % of what a model would read."
    )
    st.caption(plain(f"Scored by {telling.scored_by(selection.run)}."))


def map_of_all(selection: Selection) -> None:
    """Where the kept samples lie among all."""
    found = data_story.places(selection.run.pool)
    if found is None:
        present = np.unique(selection.source[selection.subset.mask])
        here, there = len(present), len(selection.sources)
        st.title(f"They come from {here:,} of {there:,} sources.", anchor=False)
        st.info(
            f"A map of this pool shows more. Make one: `sftlens map {selection.run.pool}`.",
            icon=":material/map:",
        )
        return
    rows, labels = found
    kept = selection.subset.mask
    here = len(np.unique(rows["cluster"][: len(kept)][kept & (rows["cluster"][: len(kept)] >= 0)]))
    st.title(f"They cover {here:,} of {len(labels):,} topics.", anchor=False)
    st.markdown("Each dot is a sample. Dots that lie near each other ask for similar things.")
    chart(
        "",
        lambda: story.places(rows["x"][: len(kept)], rows["y"][: len(kept)], kept, palette()),
        "story_map",
        empty="No sample has a place on the map.",
    )


def neighbours(selection: Selection) -> None:
    """Two pairs of near neighbours, one kept and one dropped, each with the reason."""
    st.title("Near neighbours, different fates.", anchor=False)
    pairs = data_story.pairs(selection.recipe)
    if not pairs:
        st.info(
            "No kept sample has a near neighbour that was dropped, or the pool has no map"
            f" (`sftlens map {selection.run.pool}`).",
            icon=":material/info:",
        )
    for pair in pairs:
        _pair(selection, pair)


def _pair(selection: Selection, pair: Contrast) -> None:
    with st.container(border=True):
        st.caption(f"{100 * pair.cosine:.0f} % alike (cosine)")
        left, right = st.columns(2, gap="medium")
        for column, row, name in ((left, pair.kept, "kept"), (right, pair.dropped, "dropped")):
            sample = data.sample(selection.run.pool, selection.ids[row])
            with column:
                st.badge(name, color="primary" if name == "kept" else "gray")
                st.text(_clip(sample.instruction))
                st.caption(plain(_why(selection, row)))
                with st.expander("The answer"):
                    st.text(_clip(sample.response))


def _why(selection: Selection, row: int) -> str:
    """`Rank 3 of 128`, or the reason that dropped it."""
    score, reason = selection.scores.value, str(selection.subset.names[selection.subset.code[row]])
    if np.isnan(score[row]):
        return reason
    rank = 1 + int((score > score[row]).sum())
    return f"{reason}; rank {rank:,} of {int(np.isfinite(score).sum()):,}"


def _clip(text: str) -> str:
    return text if len(text) <= CLIPPED else text[: CLIPPED - 1] + "…"


@st.fragment
def slider(selection: Selection) -> None:
    """A budget that moves here and nowhere else."""
    st.title("How much should we keep?", anchor=False)
    unit = Budget.parse(selection.recipe.budget).unit
    now = round(100 * len(selection.subset.chosen) / selection.subset.n, 1)
    shares = sorted({*SHARES, now} - {0.0})
    share = st.select_slider(
        "Share of the pool",
        shares,
        value=now or shares[0],
        format_func=lambda s: f"{s:g} %",
        key="story_share",
    )
    tokens = " tokens" if unit == "tokens" else ""
    moved = selection.recipe.model_copy(update={"budget": f"{share:g}%{tokens}"})
    what_if = selection if share == now else data.select(moved)
    kept = what_if.subset.mask
    worst = data_story.weakest(what_if)
    st.subheader(
        f":primary[{int(kept.sum()):,}] samples. The weakest of them scores higher than"
        f" {worst:.0f} % of all."
        if worst is not None
        else "Nothing is kept.",
        anchor=False,
    )
    chart(
        "",
        lambda: distributions.histogram(what_if.scores.value, kept, (), "score", palette()),
        "story_scores",
        empty="No sample has a score.",
    )


def chance(selection: Selection) -> None:
    """The choice beside random draws of the same size and lengths."""
    told = summarise(selection)
    shares = [(s.name, s.share) for s in told.sources if s.share]
    beyond = [name for name, band in shares if band.beyond]
    if not shares:
        st.title("Nothing is kept, so there is nothing to compare.", anchor=False)
        return
    many = f"{len(beyond):,} of {len(shares):,} sources"
    st.title(
        f"Chance does not explain {many}." if beyond else "Chance would pick a similar mix.",
        anchor=False,
    )
    st.markdown(
        "Grey is where 95 % of random draws of the same size and the same lengths lie."
        f" Blue is what we keep. {100 * told.shared:.0f} % of such a draw are the same samples."
    )
    names, bands = zip(*shares[:SOURCES], strict=True)
    chart(
        "",
        lambda: story.against_chance(names, bands, palette()),
        "story_chance",
        empty="The pool has no sources.",
    )


STEPS: tuple[Callable[[Selection], None], ...] = (
    sentence,
    map_of_all,
    neighbours,
    slider,
    chance,
)
