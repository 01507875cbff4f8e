"""What a run would take, said before a person starts it."""

import streamlit as st

from core.domain import RunSpec
from core.estimates import Stage, size
from core.forecast import Forecast, processes
from core.progress import duration
from pages.ui import data_jobs
from pages.ui.prose import code, command, label, sentence
from pages.ui.sheets import sheet

HOW = "`sftlens doctor --bench` times this machine in about a minute; then it is told here."


def cost(spec: RunSpec, n: int) -> None:
    """Time and disk of a run of n samples, and its steps."""
    found = data_jobs.foretold(spec, n)
    if isinstance(found, str):
        asked = code(command("sftlens", "score", spec.pool, spec.method, "--dry-run"))
        st.caption(f"{sentence(found)} On the command line: {asked}.")
        return
    if any(part.run for part in found.parts):
        st.caption(":material/check: This run is in the store already; starting it again is free.")
        return
    st.markdown(_sentence(found))
    if not found.estimate.fits(found.free):
        text = f"{size(found.free)} are free: the run would be refused. Free some space first."
        st.warning(text, icon=":material/hard_drive:")
    with st.expander("Steps"):
        sheet(_table(found), hide_index=True)
        for rates in found.rates:
            said = f"Speed of {rates.model} in {rates.precision}: measured {rates.date}."
            st.caption(label(said))


def _sentence(found: Forecast) -> str:
    """`About 12 min and 34 MB on disk`."""
    whole = found.estimate
    disk = f"**{size(whole.needed)}** on disk"
    if whole.seconds is None:
        return f":material/schedule: Needs about {disk}. How long it takes is not known. {HOW}"
    time = f"**{duration(whole.seconds)}**"
    return f":material/schedule: About {time} in {processes(whole)}, and {disk}."


def _table(found: Forecast) -> list[dict[str, str]]:
    return [_row(stage) for part in found.parts for stage in part.stages]


def _row(stage: Stage) -> dict[str, str]:
    unknown = "unknown" if stage.seconds is None else duration(stage.seconds)
    return {
        "step": stage.name,
        "left": f"{stage.left:,} of {stage.total:,} {stage.unit}" if stage.left else "nothing",
        "time": unknown if stage.left else "",
        "on disk": size(stage.kept) if stage.kept else "",
    }
