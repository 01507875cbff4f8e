"""Scoring processes: how far they are, who holds a pool, and how to stop them."""

import os
import signal as signals_of_the_system
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core import access, config, files, logs
from core.domain import RunSpec, content_hash
from core.errors import RunError
from core.methods import build
from core.progress import Progress, duration

BOOT = Path("/proc/sys/kernel/random/boot_id")
GOES_ON = "stopped; the next call goes on where it was"


@dataclass(frozen=True)
class Job:
    """A scoring process, finished or not, as its status file tells it.

    `state`: running, done, failed, or stopped (its process is gone; the next call goes on
    where it was).
    """

    job_id: str
    state: str
    facts: Mapping[str, Any]

    @property
    def share(self) -> float:
        """How much of the present step is done, 0 to 1."""
        return min(1.0, float(self.facts.get("done", 0)) / float(self.facts.get("total") or 1))

    def sentence(self) -> str:
        """`measuring base: 25 %, 612 tokens/s, 40 s left`, or how it ended."""
        f = self.facts
        if self.state == "stopped":
            return GOES_ON
        if self.state != "running" or not f.get("total"):
            return str(f.get("message", self.state))
        left = "" if f.get("left_s") is None else f", {duration(f['left_s'])} left"
        done = 100 * f["done"] / f["total"]
        return f"{f['stage']}: {done:.0f} %, {f['rate']:,.0f} {f['unit']}/s{left}"


def job_id(spec: RunSpec) -> str:
    """Names a job by what was asked for, however its parameters were written.

    Raises:
        MethodError: the method or a parameter is wrong.
    """
    asked = asdict(spec) | {"params": build(spec.method, spec.params).model_dump()}
    if spec.answers is None:  # jobs from before there were such servers keep their names
        del asked["answers"]
    else:
        asked["answers"] = spec.answers.card()
    return content_hash(["job", asked], 12)


def every() -> list[Job]:
    """Every job that left a status file, newest first."""
    folder = config.cache_dir() / "runs"
    found = [(p.parent.name, files.read_json(p)) for p in folder.glob("*/status.json")]
    known = [Job(name, state_of(facts), facts) for name, facts in found if isinstance(facts, dict)]
    return sorted(known, key=lambda job: -float(job.facts.get("at", 0)))


def log_tail(job: str, lines: int = 40) -> str:
    """The last lines a launched job wrote; empty where there is no log."""
    path = status_path(job).with_name("log.txt")
    if not path.is_file():
        return ""
    return "\n".join(path.read_text("utf8", errors="replace").splitlines()[-lines:])


def spawn(words: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start `sftlens WORDS` in a process of its own that outlives a page; it writes into `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", *words],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=config.ROOT,
            env=os.environ | access.handed_on() | {logs.FORMAT: "text"},  # a person reads it
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return process


def stop(job: str) -> None:
    """Ask a running job to stop; what it measured is kept.

    Raises:
        AccessError: who acts may not.
    """
    found = next((j for j in every() if j.job_id == job), None)
    if found is not None and found.state == "running":
        with access.act("stop", f"job {job}"), suppress(ProcessLookupError):  # it ended meanwhile
            # not SIGINT, which a process that a shell put into the background ignores
            os.kill(int(found.facts["pid"]), signals_of_the_system.SIGTERM)


def state_of(facts: Mapping[str, Any]) -> str:
    """The state on file, but a running job whose process is gone was stopped."""
    state = str(facts.get("state", "stopped"))
    if state != "running":
        return state
    start = start_of(int(facts.get("pid", 0)))
    return "running" if start is not None and start == facts.get("started") else "stopped"


def start_of(pid: int) -> str | None:
    """When a process began; None when there is none or it is a zombie. Guards reused pids.

    Which boot of the machine, and hundredths of a second since then: no clock that is set
    changes it, as it would change a time of day.
    """
    import psutil

    try:
        process, boot = psutil.Process(pid), psutil.boot_time()  # read first: psutil may keep it
        since = round(100 * (process.create_time() - boot))
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{_boot()}+{since}"
    except (psutil.Error, ValueError):
        return None


def _boot() -> str:
    """Names this boot of the machine, where the system does."""
    try:
        return BOOT.read_text("ascii").strip()
    except OSError:
        return ""


def own_start() -> str | None:
    """When this process began."""
    return start_of(os.getpid())


def status_path(job: str) -> Path:
    """Where a job tells how far it is."""
    return config.cache_dir() / "runs" / job / "status.json"


def report_end(progress: Progress, state: str, message: str, **facts: Any) -> None:
    """Write the last status; a full disk must not hide the error that ended the run."""
    try:
        progress.state(state, message=message, **facts)
    except OSError:
        return


def _report_refused(job: str, message: str) -> None:
    """Let the status that `launch` wrote for this very process say why it never began."""
    facts = files.read_json(status_path(job))
    if isinstance(facts, dict) and facts.get("pid") == os.getpid():
        ended = Progress(status_path(job), facts, quiet=True)
        report_end(ended, "failed", message)


@contextmanager
def alone(spec: RunSpec, job: str) -> Iterator[None]:
    """Hold the pool's scoring lock; the operating system frees it when the process dies.

    Who holds it may take it again, so that a row of runs keeps others out between two of them.
    """
    import filelock

    folder = config.folder("runs")
    files.sweep(folder / job)
    lock = filelock.FileLock(folder / f"{content_hash(spec.pool, 12)}.lock", is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        other = next(
            (
                j
                for j in every()
                if j.state == "running" and j.facts.get("spec", {}).get("pool") == spec.pool
            ),
            None,
        )
        who = f"process {other.facts.get('pid')} ({other.sentence()})" if other else "a process"
        do = "Wait for it (sftlens status), or stop it; what it measured is kept."
        error = RunError(spec.pool, f"is being scored by {who}", do=do)
        _report_refused(job, str(error))
        raise error from None
    try:
        yield
    finally:
        lock.release()
