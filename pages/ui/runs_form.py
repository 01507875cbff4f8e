"""The tables and widgets of the Runs page."""

import json

import pandas as pd
import streamlit as st

from core.domain import RunSpec, spec_of
from core.errors import SFTLensError
from core.jobs import Job
from core.methods import build, catalogue
from core.progress import duration
from pages.ui import data, data_jobs, rights, run_cost
from pages.ui.forms import fields
from pages.ui.glossary import term
from pages.ui.prose import label, sentence
from pages.ui.sheets import sheet

MARKS = {
    "running": ":material/autoplay:",
    "stopped": ":material/pause_circle:",
    "failed": ":material/error:",
    "done": ":material/check_circle:",
}


@st.fragment(run_every=1.0)
def running() -> None:
    """Jobs that are going on, were stopped, or failed; the newest few."""
    for job in [j for j in data_jobs.jobs() if j.state != "done"][:4]:
        _job(job)


def _job(job: Job) -> None:
    spec = job.facts.get("spec", {})
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"{MARKS[job.state]} **{label(str(spec.get('pool')))}** ·"
                f" {label(str(spec.get('method')))} · {job.state}",
                width="content",
            )
            st.space("stretch")
            if job.state == "running":
                st.button(
                    "Stop",
                    key=f"runs_stop_{job.job_id}",
                    icon=":material/stop:",
                    on_click=_stop,
                    args=(job.job_id,),
                    **rights.lock("stop"),
                )
            else:
                st.button(
                    "Go on",
                    key=f"runs_again_{job.job_id}",
                    icon=":material/play_arrow:",
                    on_click=_start,
                    args=(spec_of(spec),),
                    **rights.lock("score"),
                )
        if job.state == "running" and job.facts.get("total"):
            st.progress(job.share, text=label(job.sentence()))
        else:
            st.caption(label(job.sentence()))
        if log := data_jobs.log_tail(job.job_id):
            with st.expander("Log"):
                st.code(log, language=None, wrap_lines=True)


def pools() -> None:
    """Pools and query sets."""
    frame = data.pools()
    if frame.empty:
        st.info("No pool yet. Import one: `sftlens import FILE`.", icon=":material/info:")
        return
    number = st.column_config.NumberColumn
    sheet(
        frame[["pool", "kind", "n", "sources", "n_chars", "fingerprint"]],
        hide_index=True,
        column_config={
            "n": number("samples", format="localized"),
            "n_chars": number("characters", format="compact"),
        },
    )


def finished() -> None:
    """Runs in the store, newest first."""
    frame = data.scored()
    if frame.empty:
        more = "" if rights.why_not("score") else " Start one below."
        st.info(f"No run yet.{more}", icon=":material/info:")
        return
    cards = [json.loads(card) for card in frame["card"]]
    shown = pd.DataFrame(
        {
            "pool": frame["pool"],
            "method": frame["method"],
            "scored": frame["n_scored"],
            "of": frame["n"],
            "model": [card["base"]["name"] for card in cards],
            "precision": [card["precision"] for card in cards],
            "took": [duration(s) for s in frame["seconds"]],
            "run": frame["run_id"].str[:8],
            "current": frame["current"],
        }
    )
    number = st.column_config.NumberColumn
    sheet(
        shown,
        hide_index=True,
        column_config={
            "scored": number(format="localized"),
            "of": number(format="localized"),
            "current": st.column_config.CheckboxColumn(help="The pool is as it was when scored."),
        },
    )


def start() -> None:
    """Choose pool, method, model and parameters, and start in the background."""
    frame = data.pools()
    names = frame.loc[frame["kind"] == "pool", "pool"].tolist()
    if not names:
        st.info("Import a pool first: `sftlens import FILE`.", icon=":material/info:")
        return
    with st.container(border=True):
        a, b, c, d = st.columns(4)
        pool = a.selectbox("Pool", names, key="runs_pool")
        method = b.selectbox(
            "Method",
            [name for name, cls in catalogue().items() if cls.measures],
            key="runs_method",
            format_func=lambda name: catalogue()[name].title,
        )
        model = c.text_input(
            "Model",
            "embedded",
            key="runs_model",
            help="embedded, a hub id (org/name), a folder, or a .gguf file",
        )
        dtype = d.selectbox(
            "Number format",
            ["auto", "fp32", "bf16"],
            key="runs_dtype",
            help="auto is bf16 where the hardware multiplies it fast",
        )
        query = _query(frame, method)
        with st.expander("Parameters"):
            changed = fields(catalogue()[method], build(method).model_dump(), f"runs_{method}")
        spec = RunSpec(pool, method, changed, model, dtype=dtype, query=query)
        lacks = build(method).needs_query() and not query
        place = st.container()  # drawn after the button, which need not wait for it
        st.button(
            "Start scoring",
            type="primary",
            icon=":material/play_arrow:",
            key="runs_start",
            on_click=_start,
            args=(spec,),
            **rights.lock("score", "Import a query set first" if lacks else None, disabled=lacks),
        )
        with place:
            run_cost.cost(spec, int(frame.loc[frame["pool"] == pool, "n"].iloc[0]))
    if refused := st.session_state.pop("runs_refused", ""):
        st.error(sentence(refused), icon=":material/error:")


def _query(frame: pd.DataFrame, method: str) -> str:
    """The query set, for a method that needs one."""
    if not build(method).needs_query():
        return ""
    names = frame.loc[frame["kind"] == "query", "pool"].tolist()
    if not names:
        st.info("This method needs a query set: `sftlens import FILE --query NAME`.")
        return ""
    return str(st.selectbox("Query set", names, key="runs_query", help=term("query")))


def _start(spec: RunSpec) -> None:
    try:
        data_jobs.start(spec)
    except SFTLensError as error:
        st.session_state["runs_refused"] = str(error)


def _stop(job_id: str) -> None:
    try:
        data_jobs.stop(job_id)
    except SFTLensError as error:
        st.session_state["runs_refused"] = str(error)
