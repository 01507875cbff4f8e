"""Scoring processes, as the app sees and starts them; and the demo, which needs none."""

import streamlit as st

from core import config, forecast, runs
from core import jobs as jobs_on_file
from core.demo import bundle
from core.domain import RunSpec, content_hash
from core.errors import SFTLensError
from pages.ui.data import Stamp, stamp, told

MANY = 100_000  # samples from which on the parts on disk are too many to look at in a page
FRESH_S = 30.0  # an estimate holds so long: what is measured meanwhile makes it shorter


@told
def jobs() -> list[jobs_on_file.Job]:
    """Scoring processes, newest first."""
    return jobs_on_file.every()


def start(spec: RunSpec) -> str:
    """Start scoring in a process of its own."""
    return runs.launch(spec)


def stop(job_id: str) -> None:
    """Ask a scoring process to stop."""
    jobs_on_file.stop(job_id)


@told
def log_tail(job_id: str) -> str:
    """The last lines of a job's log."""
    return jobs_on_file.log_tail(job_id)


def open_demo() -> None:
    """Put the demo, scored beforehand, into the store."""
    bundle.load()


@told
def foretold(spec: RunSpec, n: int) -> forecast.Forecast | str:
    """What a run of n samples would take, from kept rates alone; or why nobody knows."""
    if n > MANY:
        return "The pool is too long for an estimate here."
    return _foretold(stamp(), content_hash([repr(spec), rates_at()]), spec)


@st.cache_data(ttl=FRESH_S, max_entries=32, show_spinner=False)
def _foretold(at: Stamp, key: str, _spec: RunSpec) -> forecast.Forecast | str:
    try:
        return forecast.forecast(_spec, guess=True)
    except SFTLensError as error:
        return str(error)


def rates_at() -> float:
    """When rates were kept last; 0 before there are any."""
    found = [p.stat().st_mtime for p in (config.cache_dir() / "bench").glob("*.json")]
    return max(found, default=0.0)
