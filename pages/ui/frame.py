"""What every page looks like around its content: navigation, page head, guards."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import streamlit as st

from core import access
from core.errors import SFTLensError
from core.jobs import Job
from core.methods import build, catalogue
from core.recipe import Recipe
from core.selection import Selection
from pages.ui import address, data, data_jobs, rights
from pages.ui.navigation import ENTRIES, OWN_PAGE, shown_first
from pages.ui.prose import command, label, sentence
from pages.ui.recipe_bar import recipe_bar
from pages.ui.state import show, state

ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from elsewhere
WATCH_EVERY_S = 1.5


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
    address.take()
    with st.sidebar:
        st.markdown("### :material/filter_alt: SFTLens")
        group = None
        for e in ENTRIES:
            if e.group and e.group != group:
                st.caption(e.group)
            group = e.group
            st.page_link(e.script, label=e.title, icon=e.icon, width="stretch")
        _choose_run()
        _watch()
        rights.card()
    address.write()
    st.title(title, anchor=False)
    st.caption(entry.question)
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
        _no_pool()
    recipe = here.recipe
    if recipe is None:
        _no_run(str(here.pool))
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
        _unscored(selection.run.pool, method)
        st.stop()
    shown = Recipe(pool=selection.run.pool, method=method, run_id=ids[0], budget="100%")
    return replace(data.select(shown), subset=selection.subset)


def _no_pool() -> NoReturn:
    with st.container(border=True):
        st.subheader("Nothing is imported yet", anchor=False)
        st.write("Bring your own data, or look around with 160 samples written for this project.")
        _open_demo()
        st.code("sftlens import my_data.jsonl\nsftlens demo", language="bash")
        st.caption("This page follows by itself, as soon as there is something to show.")
    st.stop()


def _open_demo() -> None:
    """A button that puts the demo, scored beforehand, into the store."""
    about = "Scored beforehand by every method: it needs no model and no network."
    if st.button(
        "Open the demo",
        key="frame_demo",
        type="primary",
        icon=":material/play_circle:",
        **rights.lock("import", about),
    ):
        try:
            data_jobs.open_demo()
        except SFTLensError as error:
            st.error(sentence(error), icon=":material/error:")
        else:
            st.rerun()


def _no_run(pool: str) -> NoReturn:
    _unscored(pool, OWN_PAGE)
    st.stop()


@st.fragment(run_every=WATCH_EVERY_S)
def _unscored(pool: str, method: str) -> None:
    """A pool that was not scored with a method: how far the scoring is, or how to start it."""
    running = (j for j in data_jobs.jobs() if j.state == "running")
    job = next((j for j in running if j.facts["spec"]["pool"] == pool), None)
    with st.container(border=True):
        if job is not None:
            st.subheader(f"{label(pool)} is being scored", anchor=False)
            st.progress(job.share, text=label(job.sentence()))
            st.caption("This page follows by itself, as soon as there is something to show.")
            return
        title = catalogue()[method].title.lower()
        st.subheader(f"{label(pool)} is not scored by {title} yet", anchor=False)
        st.write(
            "A score needs a model to read every sample once or more. It runs in the"
            " background, and a run that is stopped goes on where it was."
        )
        st.page_link("pages/runs.py", label="Start scoring", icon=":material/play_circle:")
        query = " --query TARGET" if build(method).needs_query() else ""
        asked = command("sftlens", "score", pool, method)
        st.code(asked + query, language="bash")
