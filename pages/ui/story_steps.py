"""The five steps of the Story: one message each, in big type, with one thing to look at."""

from collections.abc import Callable, Mapping

import streamlit as st

from core import chance, summary, telling
from core.chance import Band
from core.contrasts import Contrast
from core.policies.budget import Budget
from core.selection import Selection
from pages.ui import data, data_story
from pages.ui.charts import distributions, story
from pages.ui.panels import chart, palette
from pages.ui.prose import clipped, code, command, label

SHARES = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0)  # of the slider
CLIPPED = 300  # characters of a text
SOURCES = 8


def sentence(selection: Selection) -> None:
    """What was kept."""
    told = data_story.told(selection.recipe)
    st.title(f"We keep :primary[{told.kept:,}] of {told.n:,} samples.", anchor=False)
    st.subheader(f"Chosen by {told.method.lower()}, each with a reason.", anchor=False)
    st.progress(told.kept / told.n)
    st.markdown(
        f"That is {100 * told.kept / told.n:.1f} % of the pool **{label(told.pool)}**, and"
        f" {100 * told.tokens / max(told.tokens_before, 1):.1f} % of the text that a model would"
        " learn from."
    )
    st.caption(label(f"Scored by {telling.scored_by(selection.run)}."))


def map_of_all(selection: Selection) -> None:
    """Where the kept samples lie among all."""
    found, kept = data_story.places(selection.recipe), selection.subset.mask
    if found is None:
        here = summary.covered(selection.source, kept)
        st.title(f"They come from {here:,} of {len(selection.sources):,} sources.", anchor=False)
        st.info(
            f"A map of this pool shows more. Make one: {_map(selection)}.",
            icon=":material/map:",
        )
        return
    rows, labels = found
    here = summary.covered(rows["cluster"], kept)
    st.title(f"They cover {here:,} of {len(labels):,} topics.", anchor=False)
    st.markdown("Each dot is a sample. Dots near each other ask for similar things.")
    chart(
        "",
        lambda: story.places(rows["x"], rows["y"], kept, palette()),
        "story_map",
        empty="No sample has a place on the map.",
    )


def _map(selection: Selection) -> str:
    return code(command("sftlens", "map", selection.run.pool))


def neighbours(selection: Selection) -> None:
    """Two pairs of near neighbours, one kept and one dropped, each with the reason."""
    st.title("Near neighbours, different fates.", anchor=False)
    pairs = data_story.pairs(selection.recipe)
    if not pairs:
        st.info(
            "No kept sample has a near neighbour that was dropped, or this pool has no map yet"
            f" ({_map(selection)}).",
            icon=":material/info:",
        )
    for pair in pairs:
        _pair(selection, pair)


def _pair(selection: Selection, pair: Contrast) -> None:
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        for column, row, name in ((left, pair.kept, "kept"), (right, pair.dropped, "dropped")):
            sample = data.sample(selection.run.pool, selection.ids[row])
            with column:
                st.badge(name, color="primary" if name == "kept" else "gray")
                st.text(clipped(sample.instruction, CLIPPED))
                st.caption(label(_why(selection, row)))
                with st.expander("The answer"):
                    st.text(clipped(sample.response, CLIPPED))
        st.caption(f"Their questions are {100 * pair.cosine:.0f} % alike (cosine).")


def _why(selection: Selection, row: int) -> str:
    """The reason, and `rank 3 of 128` where there is a score."""
    reason = str(selection.subset.names[selection.subset.code[row]])
    place = summary.rank(selection, row)
    return f"{reason}; rank {place[0]:,} of {place[1]:,}" if place else reason


@st.fragment
def slider(selection: Selection) -> None:
    """A budget that moves here and nowhere else."""
    st.title("How much should we keep?", anchor=False)
    now, share = _share(selection)
    tokens = " tokens" if Budget.parse(selection.recipe.budget).unit == "tokens" else ""
    budget = selection.recipe.budget if share == now else f"{share:g}%{tokens}"
    moved = data.select(selection.recipe.model_copy(update={"budget": budget}))
    kept, worst = moved.subset.mask, summary.weakest(moved)
    said = f":primary[{len(moved.subset.chosen):,}] samples."
    if worst is not None:
        said += f" The weakest scores higher than {worst:.0f} % of all."
    st.subheader(said, anchor=False)
    chart(
        "",
        lambda: distributions.histogram(moved.scores.value, kept, (), "score", palette()),
        "story_scores",
        empty="No sample has a score.",
    )


def _share(selection: Selection) -> tuple[float, float]:
    """The per cent that the snapshot keeps, and the per cent that a person chose."""
    now = summary.per_cent_kept(selection)
    chosen = st.select_slider(
        "Share of the pool",
        sorted({*SHARES, now}),
        value=now,
        format_func=lambda s: f"{s:g} %{' (now)' if s == now else ''}",
        key="story_share",
    )
    return now, float(chosen)


def beside_chance(selection: Selection) -> None:
    """The choice beside random draws of the same size and lengths."""
    told = data_story.told(selection.recipe)
    bands = {s.name: s.share for s in told.sources if s.share}
    if not bands:
        st.title("Nothing is kept, so there is nothing to compare.", anchor=False)
        return
    st.title(_strangest(bands), anchor=False)
    st.markdown(
        "Grey is where 95 % of random draws of the same size and the same lengths lie."
        f" Blue is what we keep. {100 * told.shared:.0f} % of such a draw are the same samples."
    )
    chart(
        "",
        lambda: story.against_chance(
            list(bands)[:SOURCES], list(bands.values())[:SOURCES], palette()
        ),
        "story_chance",
        empty="The pool has no sources.",
    )
    if len(bands) > SOURCES:
        st.caption(f"The {SOURCES} largest of {len(bands):,} sources.")


def _strangest(bands: Mapping[str, Band]) -> str:
    """The one thing to say: which of the drawn sources lies farthest outside of chance."""
    drawn = list(bands)[:SOURCES]
    found = chance.strangest(drawn, [bands[name] for name in drawn])
    if found is None:
        return "Chance would pick a similar mix."
    name, band = found
    return f"{'More' if band.kept > band.high else 'Less'} {label(name)} than chance explains."


STEPS: tuple[Callable[[Selection], None], ...] = (
    sentence,
    map_of_all,
    neighbours,
    slider,
    beside_chance,
)
