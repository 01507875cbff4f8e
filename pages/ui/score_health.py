"""Score health on the Overview: every run's checks at a glance, and what to do."""

import pandas as pd
import streamlit as st

from core.health import Finding
from core.methods import catalogue
from core.selection import Selection
from pages.ui import data, data_overview
from pages.ui.recipe_bar import plain

SIGNS = {"good": "✓ fine", "watch": "! watch", "bad": "✕ bad", "unknown": "? not known"}
BADGES = {  # colour, icon: never the colour alone
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
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    told = [(found[run][0], run, f) for run in order for f in found[run][1] if f.level != "good"]
    own = [t for t in told if not _baseline(t[0])]
    _told(own, "What to do about the published methods", expanded=True)
    _told([t for t in told if _baseline(t[0])], "About the baselines", expanded=False)


def _findings(runs: pd.DataFrame, run_id: str, budget: int) -> list[Finding]:
    seeds = data_overview.seeds(runs, run_id, budget)
    return data_overview.findings(run_id) + ([seeds] if seeds else [])


def _baseline(method: str) -> bool:
    return catalogue()[method].baseline


def _row(run_id: str, method: str, found: list[Finding]) -> dict[str, str]:
    said = {f.check: SIGNS[f.level] for f in found}
    said.setdefault("spread", SIGNS["good"])
    cells = {title: said.get(check, "–") for check, title in CHECKS.items()}
    return {"run": f"{catalogue()[method].title} · {run_id[:6]}"} | cells


def _told(told: list[tuple[str, str, Finding]], title: str, *, expanded: bool) -> None:
    if not told:
        return
    with st.expander(f"{title}: {len(told):,}", expanded=expanded):
        for method, run_id, finding in sorted(told, key=lambda t: list(BADGES).index(t[2].level)):
            colour, icon = BADGES[finding.level]
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(SIGNS[finding.level][2:], icon=icon, color=colour)  # type: ignore[arg-type]
                st.markdown(f"**{catalogue()[method].title}** · {run_id[:6]}", width="content")
                st.text(CHECKS[finding.check], width="content")
            st.markdown(plain(finding.says))
            if finding.do.startswith("sftlens "):
                st.code(finding.do, language="bash", wrap_lines=True)
            elif finding.do:
                st.caption(finding.do)
