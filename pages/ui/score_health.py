"""Score health on the Overview: every run's checks at a glance, and what to do."""

from typing import Literal

import pandas as pd
import streamlit as st

from core.health import Finding
from core.methods import catalogue
from core.selection import Selection
from pages.ui import data, data_overview
from pages.ui.prose import label
from pages.ui.sheets import sheet

SIGNS = {"good": "✓ fine", "watch": "! watch", "bad": "✕ bad", "unknown": "? not known"}
BADGES: dict[str, tuple[Literal["red", "orange", "gray"], str]] = {  # never the colour alone
    "bad": ("red", ":material/error:"),
    "watch": ("orange", ":material/warning:"),
    "unknown": ("gray", ":material/help:"),
}
CHECKS = {
    "coverage": "scored",
    "spread": "all the same",
    "ties": "ties",
    "length": "follows length",
    "seeds": "seeds agree",
}


@st.fragment
def table(selection: Selection) -> None:
    """A row a run, a column a check; below it what is not fine, worst first."""
    runs = data.scored(selection.run.pool)
    known = runs[runs["method"].isin(list(catalogue()))]
    budget = max(1, len(selection.subset.chosen))
    found = {
        str(row.run_id): (str(row.method), _findings(known, str(row.run_id), budget))
        for row in known.itertuples()
    }
    order = sorted(found, key=lambda run: (_baseline(found[run][0]), run != selection.run.run_id))
    rows = [_row(run, *found[run]) for run in order]
    sheet(pd.DataFrame(rows), hide_index=True)
    told = [(found[run][0], run, f) for run in order for f in found[run][1]]
    own = [t for t in told if not _baseline(t[0])]
    _told([t for t in own if t[2].level in ("bad", "watch")], "What to do", expanded=True)
    _unknown([t for t in own if t[2].level == "unknown"])
    others = [t for t in told if _baseline(t[0]) and t[2].level in ("bad", "watch")]
    _told(others, "What to know about the baselines", expanded=False)


def _findings(runs: pd.DataFrame, run_id: str, budget: int) -> list[Finding]:
    method = str(runs.loc[runs["run_id"] == run_id, "method"].iloc[0])
    # a baseline's seed is its own affair: what is random should differ
    seeds = None if _baseline(method) else data_overview.seeds(runs, run_id, budget)
    return data_overview.findings(run_id) + ([seeds] if seeds else [])


def _baseline(method: str) -> bool:
    return catalogue()[method].baseline


def _row(run_id: str, method: str, found: list[Finding]) -> dict[str, str]:
    said = {f.check: SIGNS[f.level] for f in found}
    said.setdefault("spread", SIGNS["good"])
    cells = {title: said.get(check, "–") for check, title in CHECKS.items()}
    return {"run": f"{catalogue()[method].title} · {run_id[:6]}"} | cells


def _told(told: list[tuple[str, str, Finding]], title: str, *, expanded: bool) -> None:
    """Each finding in a row: how bad, of what, what it says and what to do; worst first."""
    if not told:
        return
    with st.expander(f"{title}: {len(told):,}", expanded=expanded):
        for method, run_id, finding in sorted(told, key=lambda t: list(BADGES).index(t[2].level)):
            colour, icon = BADGES[finding.level]
            badge, what, says = st.columns([2, 5, 11])
            badge.badge(SIGNS[finding.level][2:], icon=icon, color=colour)
            what.markdown(f"**{catalogue()[method].title}** · {run_id[:6]}")
            says.markdown(f"{label(finding.says)} :gray[{label(finding.do)}]")


def _unknown(told: list[tuple[str, str, Finding]]) -> None:
    """What was never measured, and the commands that would."""
    if not told:
        return
    colour, icon = BADGES["unknown"]
    with st.expander(f"Not known yet: another seed of {len(told):,} runs", expanded=False):
        st.badge(SIGNS["unknown"][2:], icon=icon, color=colour)
        st.markdown(label(told[0][2].says))
        st.code("\n".join(f.do for _, _, f in told), language="bash", wrap_lines=True)
