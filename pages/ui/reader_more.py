"""Beside the sample: where it stands, what is near it, and how sure the model was of each token."""

import numpy as np
import streamlit as st

from core.methods import catalogue
from core.rules import named
from core.selection import Selection
from core.standing import shown
from pages.ui import data, data_reader, rights
from pages.ui.glossary import term
from pages.ui.prose import code, command, sentence
from pages.ui.sheets import sheet
from pages.ui.state import state
from pages.ui.token_heat import token_heat

POLL_S = 1.0


def standings(selection: Selection, row: int) -> None:
    """Each run's score of the sample as a percentile in words; the recipe's own run first."""
    st.markdown("**Where it stands**", help=term("percentile"))
    pool, own = selection.run.pool, selection.run.run_id
    found = data_reader.standings(pool, row, own)
    runs = data.scored(pool).set_index("run_id")["method"]
    lines = []
    for run_id in sorted(found, key=lambda i: (i != own, list(runs.index).index(i))):
        title = _title(str(runs[run_id]))
        for standing in found[run_id]:
            name = title if standing.column == "score" else named(standing.column)
            number = "" if np.isnan(standing.value) else f" {shown(standing.value)}"
            indent = "" if standing.column == "score" else "    "
            lines.append(f"{indent}- {name}{number}: :gray[{standing.sentence()}]")
    st.markdown("\n".join(lines))


def _title(method: str) -> str:
    card = catalogue().get(method)
    return card.title if card is not None else method


def neighbours(selection: Selection, row: int) -> None:
    """The nearest instructions with their fate; a click opens one."""
    st.markdown("**Nearest instructions**", help=term("neighbours"))
    pool = selection.run.pool
    found = data.newest_map(pool)
    if found is None:
        st.info(
            "There is no map of this pool's instructions, and so no neighbours. Make it:"
            f" {code(command('sftlens', 'map', pool))}",
            icon=":material/info:",
        )
        return
    places = data.map_rows(found.map_id)
    near, cosine = places["neighbours"][row], places["cosines"][row]
    near, cosine = near[near >= 0], cosine[near >= 0]
    if not len(near):
        st.info("This sample has no neighbours: its instruction is empty.", icon=":material/info:")
        return
    frame = data.previews(pool, near.tolist())[["preview", "source"]].copy()
    frame.insert(0, "cosine", cosine)
    subset = selection.subset
    frame.insert(1, "fate", np.where(subset.mask[near], "kept", "dropped"))
    frame["reason"] = [subset.names[code] for code in subset.code[near]]
    key = f"reader_near_{selection.ids[row]}"
    sheet(
        frame,
        hide_index=True,
        key=key,
        on_select=lambda: _opened(selection, key, near.tolist()),
        selection_mode="single-row",
        column_config={
            "cosine": st.column_config.NumberColumn(format="%.3f", width="small"),
            "fate": st.column_config.TextColumn(width="small"),
            "preview": st.column_config.TextColumn("instruction", width="large"),
        },
    )
    if found.rough:
        st.caption("Sought among samples of alike instructions: a near one may be missing.")


def _opened(selection: Selection, key: str, near: list[int]) -> None:
    picked = st.session_state[key]["selection"]["rows"]
    if picked:
        state().open(selection.ids[near[picked[0]]])


def heat(selection: Selection, row: int) -> None:
    """NLL and entropy of every response token, measured when it is asked for."""
    st.markdown("**Token by token**", help=term("heat"))
    run = data_reader.heat_run(selection.run.pool)
    if run is None:
        st.info("No run of this pool was made by a model that could be asked.")
        return
    sample_id = selection.ids[row]
    running = data_reader.heat_state(run, sample_id)[0] == "running"
    every = POLL_S if running and not data_reader.heat_of(run, sample_id) else None
    st.fragment(_heat, run_every=every)(selection.run.pool, sample_id, every is not None)


def _heat(pool: str, sample_id: str, polling: bool) -> None:
    run = data_reader.heat_run(pool)
    if run is None:
        return
    if found := data_reader.heat_of(run, sample_id):
        if polling:
            st.rerun(scope="app")  # so that nothing asks any more
        token_heat(found, f"reader_heat_{sample_id}")
        means = ", ".join(
            f"{role} entropy {x.entropy.mean():.4f} and NLL {x.nll.mean():.4f}"
            for role, x in found.items()
        )
        n = len(found["base"].nll)
        st.caption(f"Means over {n:,} tokens, the numbers of run {run.run_id[:8]}: {means} nats.")
        return
    how, last = data_reader.heat_state(run, sample_id)
    if how == "running":
        if not polling:
            st.rerun(scope="app")  # so that somebody looks when it is done
        st.status("Measuring every token. The model is loaded first; this takes some seconds.")
        return
    if lacking := data_reader.heat_lacking(run):
        st.info(sentence(lacking), icon=":material/cloud_off:")
        return
    if refused := st.session_state.pop("reader_heat_refused", "") or (last if how else ""):
        st.warning(sentence(refused), icon=":material/error:")
    st.button(
        "Measure this response",
        key="reader_heat_start",
        icon=":material/local_fire_department:",
        on_click=data_reader.measure_heat,
        args=(run, sample_id),
        **rights.lock("heat", "Runs in the background with the run's checkpoints, and is kept."),
    )
