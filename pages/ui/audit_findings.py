"""What an audit's verdicts say: shares, other strata, agreement, and the verdicts as a file."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core.audit import RANDOM, STRATA, Queue
from core.selection import Selection
from core.verdicts import FEWEST, Estimate, agreements, estimate, majority
from pages.ui import data_audit, rights
from pages.ui.audit import TITLES
from pages.ui.glossary import term
from pages.ui.prose import label
from pages.ui.sheets import sheet


def estimates(selection: Selection, queue: Queue) -> dict[str, Estimate]:
    """What the verdicts of all reviewers say of the kept and of the dropped."""
    marks = majority(data_audit.verdicts(selection.run.pool))
    return {
        name: estimate(list(selection.ids[queue.of(name)]), marks, queue.sizes[name])
        for name in RANDOM
    }


def findings(found: Mapping[str, Estimate]) -> None:
    """The two sentences that the audit is for, and what they leave open."""
    kept, dropped = found["kept"], found["dropped"]
    st.markdown(f"**Precision of the kept** · {_share(kept)}", help=term("precision"))
    lost = ""
    if dropped.good + dropped.bad:
        n, low, high = dropped.expected
        lost = f" About {n:,} good samples are lost ({low:,} to {high:,})."
    st.markdown(f"**Loss among the dropped** · {_share(dropped)}{lost}", help=term("loss"))
    waiting = kept.waiting + dropped.waiting
    if waiting:
        st.caption(
            f"{waiting:,} verdicts were given out of order. They count as soon as the samples"
            " before them are judged: only then is the part that was judged a random one."
        )


def _share(e: Estimate) -> str:
    if not e.size:
        return "there are none."
    if not e.good + e.bad:
        return f"none of {e.size:,} is judged yet."
    doubt = (
        "all are judged" if e.low == e.high else f"95 %: {_percent(e.low)} to {_percent(e.high)}"
    )
    unsure = f", {e.unsure:,} unsure left out" if e.unsure else ""
    counts = f"{e.good:,} good and {e.bad:,} bad of {e.size:,}{unsure}"
    return f"{_percent(e.share)} ({doubt}): {counts}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def chosen_strata(selection: Selection, queue: Queue) -> None:
    """Verdicts on the chosen strata, as counts: they are no random draw."""
    marks = majority(data_audit.verdicts(selection.run.pool))
    rows = []
    for name in STRATA[len(RANDOM) :]:
        given = [marks.get(i) for i in selection.ids[queue.of(name)]]
        counts = [given.count(v) for v in ("good", "unsure", "bad")]
        rows.append([TITLES[name], *counts, given.count(None)])
    frame = pd.DataFrame(rows, columns=["stratum", "good", "unsure", "bad", "to judge"])
    small = st.column_config.NumberColumn(width="small")
    sheet(frame, hide_index=True, column_config={name: small for name in frame.columns[1:]})
    st.caption("Chosen for what they teach, not at random, so they are in no estimate.")


def agreement(pool: str) -> None:
    """How far each pair of reviewers agrees, on all samples of the pool that both judged."""
    pairs = agreements(data_audit.verdicts(pool))
    if not pairs:
        st.info("No two reviewers have judged a sample in common yet.", icon=":material/info:")
    for p in pairs:
        kappa = f"too few for a kappa (it takes {FEWEST})"
        if p.kappa == p.kappa:
            kappa = f"kappa {p.kappa:.2f} ({p.low:.2f} to {p.high:.2f})"
        elif p.n >= FEWEST:
            kappa = "no kappa: both gave one verdict only"
        who = f"**{label(p.one)}** and **{label(p.other)}**"
        st.markdown(f"{who}: {_percent(p.same)} equal of {p.n:,}, {kappa.replace('-', '−')}")


def download(selection: Selection, queue: Queue) -> None:
    """All verdicts on the pool as CSV."""
    pool = selection.run.pool
    ids = selection.ids[queue.rows]
    strata = {i: STRATA[k] for i, k in zip(ids, queue.stratum, strict=True)}
    st.download_button(
        "Verdicts as CSV",
        rights.later(lambda: data_audit.as_csv(pool, strata)),
        file_name=f"{pool}-verdicts.csv",
        mime="text/csv",
        icon=":material/download:",
        key="audit_download",
        **rights.lock("verdict"),
    )
