"""Scoring processes, as the app sees and starts them; and the demo, which needs none."""

from core import jobs as jobs_on_file
from core import runs
from core.demo import bundle
from core.domain import RunSpec


def jobs() -> list[jobs_on_file.Job]:
    """Scoring processes, newest first."""
    return jobs_on_file.every()


def start(spec: RunSpec) -> str:
    """Start scoring in a process of its own."""
    return runs.launch(spec)


def stop(job_id: str) -> None:
    """Ask a scoring process to stop."""
    jobs_on_file.stop(job_id)


def log_tail(job_id: str) -> str:
    """The last lines of a job's log."""
    return jobs_on_file.log_tail(job_id)


def open_demo() -> None:
    """Put the demo, scored beforehand, into the store."""
    bundle.load()
