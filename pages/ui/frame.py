"""What every page looks like around its content: navigation, page head, guards."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from core import access
from core.jobs import Job
from core.methods import catalogue
from core.recipe import Recipe
from core.selection import Selection
from pages.ui import address, data, data_jobs, rights
from pages.ui.navigation import ENTRIES, OWN_PAGE, shown_first
from pages.ui.prose import label, sentence
from pages.ui.recipe_bar import recipe_bar
from pages.ui.state import show, state
from pages.ui.unscored import WATCH_EVERY_S, no_pool, unscored

ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from elsewhere


def open_page(title: str) -> None:
    """Draw the frame. The first statement of app.py and of every page."""
    entry = next(e for e in ENTRIES if e.title == title)
    st.set_page_config(
        page_title=f"{title} · SFTLens",
        page_icon=str(ICON),
        layout="wide",
        initial_sidebar_state="auto",
    )
    rights.gate()
    if (who := access.person()).signed_in:
        state().reviewer = who.name
    with st.sidebar:
        st.markdown("### :material/filter_alt: SFTLens")
        group = None
        for e in ENTRIES:
            if e.group and e.group != group:
                st.caption(e.group)
            group = e.group
            st.page_link(e.script, label=e.title, icon=e.icon, width="stretch")
        chosen = st.container()
        rights.card()
    st.title(title, anchor=False)
    st.caption(entry.question)
    data.pools()  # why the store cannot be read is told here, not in the narrow sidebar
    address.take()
    with chosen:
        _choose_run()
        _watch()
    address.write()
    address.refused()


def _choose_run() -> None:
    """Pool and run, chosen once for all pages."""
    pools = data.pools()
    names = pools.loc[pools["kind"] == "pool", "pool"].tolist() if len(pools) else []
    if not names:
        return
    st.divider()
    here = state()
    if here.pool not in names:
        runs = data.scored()
        known = [name for name in runs["pool"].tolist() if name in names]
        here.pool = known[0] if known else names[0]
    show("frame_pool", here.pool)
    st.selectbox("Pool", names, key="frame_pool", on_change=_pool_chosen)
    runs = data.scored(here.pool)
    ids = runs["run_id"].tolist()
    if not ids:
        here.recipe = None
        return
    if here.recipe is None or here.recipe.run_id not in ids:
        _begin(shown_first(runs))
    show("frame_run", here.recipe.run_id if here.recipe else ids[0])
    methods = runs["method"].astype(str).tolist()
    titles = [getattr(catalogue().get(m), "title", m) for m in methods]
    label = {run: f"{t} · {run[:6]}" for run, t in zip(ids, titles, strict=True)}
    st.selectbox(
        "Ranked by", ids, key="frame_run", format_func=lambda i: label[i], on_change=_run_chosen
    )


def _pool_chosen() -> None:
    """A choice is taken before the page is drawn, so that drawing shows it."""
    here = state()
    here.close()
    here.pool, here.sample, here.rival = st.session_state["frame_pool"], None, None


def _run_chosen() -> None:
    _begin(st.session_state["frame_run"])


def _begin(run_id: str) -> None:
    """Start over with a run, under its method's own policy."""
    here = state()
    runs = data.scored(here.pool)
    method = runs.loc[runs["run_id"] == run_id, "method"].iloc[0]
    policy = getattr(catalogue().get(method), "policy", "top")
    here.begin(Recipe(pool=str(here.pool), method=method, run_id=run_id, policy=policy))


@st.fragment(run_every=WATCH_EVERY_S)
def _watch() -> None:
    """Show running jobs; draw the page anew when the store has changed."""
    if rights.why_not("read"):
        st.rerun(scope="app")  # the login has ended, and with it the page
    seen = st.session_state.setdefault("frame_stamp", data.stamp())
    if seen != data.stamp():
        st.session_state["frame_stamp"] = data.stamp()
        st.rerun(scope="app")
    for job in data_jobs.jobs():
        if job.state == "running":
            st.progress(job.share, text=_how_far(job))


def _how_far(job: Job) -> str:
    return f"**{label(str(job.facts['spec']['pool']))}**: {label(job.sentence())}"


def need_selection() -> Selection:
    """The guard of every page that shows scores: the selection, or the page ends with a way on."""
    here = state()
    pools = data.pools()
    if here.pool is None or pools.empty:
        no_pool()
    recipe = here.recipe
    if recipe is None:
        unscored(str(here.pool), OWN_PAGE)
        st.stop()
    refused = data.refusal(recipe)
    if refused and here.past:
        st.error(sentence(refused), icon=":material/error:")
        st.button("Undo the last change", key="frame_undo", on_click=here.undo)
        st.stop()
    selection = data.select(recipe)
    recipe_bar(selection)
    return selection


def need_method(selection: Selection, method: str) -> Selection:
    """The selection with the columns of a method's run, or the page ends with a way on.

    Where the recipe ranks by another method, the newest run of the wanted one is shown, with what
    the recipe keeps.
    """
    if selection.run.method == method:
        return selection
    runs = data.scored(selection.run.pool)
    ids = runs.loc[runs["method"] == method, "run_id"].tolist()
    if not ids:
        unscored(selection.run.pool, method)
        st.stop()
    shown = Recipe(pool=selection.run.pool, method=method, run_id=ids[0], budget="100%")
    return replace(data.select(shown), subset=selection.subset)
