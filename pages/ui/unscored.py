"""What a page shows where there is nothing to look at yet: no pool, or no score; and the way on."""

from typing import NoReturn

import streamlit as st

from core.errors import SFTLensError
from core.methods import build, catalogue
from pages.ui import data_jobs, rights
from pages.ui.prose import command, label, sentence

WATCH_EVERY_S = 1.5


def no_pool() -> NoReturn:
    """No pool is there: bring one, or open the demo; the page ends."""
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


@st.fragment(run_every=WATCH_EVERY_S)
def unscored(pool: str, method: str) -> None:
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
        to_runs("Start scoring")
        query = " --query TARGET" if build(method).needs_query() else ""
        asked = command("sftlens", "score", pool, method)
        st.code(asked + query, language="bash")


def to_runs(text: str) -> None:
    """The way to the page where scoring starts; greyed out for who may not start it."""
    may = rights.lock("score")
    st.page_link("pages/runs.py", label=text, icon=":material/play_circle:", **may)
