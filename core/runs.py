"""The one way to score a pool. The CLI, the app and the demo all end in `execute`."""

import os
import signal as signals_of_the_system
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import __version__, blocks, calibration, config, files, models, store
from core.domain import Pool, RunSpec, Sample, Scores, content_hash
from core.engines import loader
from core.engines.hardware import Precision, choose
from core.errors import PoolError, RunError, SFTLensError
from core.executors import Executor, Serial
from core.methods import Method, build
from core.models import Checkpoint
from core.progress import Progress, duration
from core.signals import Signal
from core.store import pools
from core.store import runs as stored

GOES_ON = "stopped; the next call goes on where it was"


@dataclass(frozen=True)
class Finished:
    """A run that is in the store, and whether it was there already."""

    run: stored.Run
    reused: bool


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


def execute(
    spec: RunSpec, progress: Progress | None = None, executor: Executor | None = None
) -> Finished:
    """Measure what is missing, score, and store the run. The same spec again is free.

    Raises:
        PoolError: the pool is unknown, empty, or a query set.
        MethodError: the method or a parameter is wrong.
        ModelError: the model cannot be loaded or calibrated.
        RunError: another process is scoring this pool.
    """
    method = build(spec.method, spec.params)
    pool = _scorable(spec.pool)
    config.check_writable()
    job = job_id(spec)
    progress = progress or Progress(quiet=True)
    with _alone(spec, job):
        progress.path = _status_path(job)
        progress.facts = {"spec": asdict(spec), "started": _own_start()}
        progress.state("running", message="starting")
        try:
            return _execute(spec, method, pool, progress, executor or Serial())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                _report_end(progress, "stopped", GOES_ON)
            else:
                ours = not isinstance(error, SFTLensError | OSError)
                message = f"a fault of SFTLens: {error!r}" if ours else str(error)
                _report_end(progress, "failed", message)
            raise


def _scorable(name: str) -> Pool:
    """The pool by this name, if it is one that can be scored."""
    with store.connect() as con:
        pool = pools.get_pool(con, name)
    if pool.kind != "pool" or not len(pool):
        what = "is a query set" if pool.kind != "pool" else "holds no samples"
        raise PoolError(name, what, do="Choose a pool of samples: sftlens pools.")
    return pool


def _execute(
    spec: RunSpec, method: Method, pool: Pool, progress: Progress, executor: Executor
) -> Finished:
    began = time.monotonic()
    precision = choose(spec.device, spec.dtype)
    base = models.resolve(spec.model, progress)
    run_id = content_hash(
        [
            "run",
            method.version,
            pool.name,  # a run belongs to one pool; its parts are shared by all
            pool.fingerprint,
            method.name,
            method.model_dump(),
            base.key,
            precision.key,
            spec.max_tokens,
            calibration.VERSION,
            {name: signal.key() for name, signal in method.needs().items()},
        ]
    )
    with store.connect() as con:
        known = stored.get_run(con, run_id)
    if known is not None:
        _report_end(progress, "done", f"run {run_id[:8]} was scored before", run_id=run_id)
        return Finished(known, reused=True)
    x: dict[str, NDArray[Any]] = {}
    cards: dict[str, Any] = {}
    for name, signal in method.needs().items():
        checkpoint, arrays = _measure(signal, pool, base, precision, spec, progress, executor)
        cards[name] = checkpoint.card()
        x |= {f"{name}_{column}": array for column, array in arrays.items()}
    scores = method.score(x)
    card = {
        "model": spec.model,
        "base": base.card(),
        "checkpoints": cards,
        "precision": precision.key,
        "max_tokens": spec.max_tokens,
        "versions": versions(),
    }
    n_scored = int(np.isfinite(scores.value).sum())
    run = stored.Run(
        run_id,
        pool.name,
        pool.fingerprint,
        method.name,
        method.model_dump(),
        card,
        len(pool),
        n_scored,
        time.monotonic() - began,
    )
    with store.connect(write=True) as con:
        stored.add_run(con, run, pool.sample_ids, scores)
    message = f"scored {n_scored:,} of {len(pool):,} samples in {duration(run.seconds)}"
    _report_end(progress, "done", message, run_id=run_id)
    return Finished(run, reused=False)


def _measure(
    signal: Signal,
    pool: Pool,
    base: Checkpoint,
    precision: Precision,
    spec: RunSpec,
    progress: Progress,
    executor: Executor,
) -> tuple[Checkpoint, dict[str, NDArray[Any]]]:
    """The signal's arrays (n, ...) in pool order; measures only what no part holds."""

    def fetch(ids: Sequence[str]) -> list[Sample]:
        with store.connect() as con:
            return pools.read_samples(con, pool.name, ids)

    checkpoint, extra = base, {}
    if signal.warm_up is not None:
        warmed = calibration.calibrate(
            base,
            signal.warm_up,
            signal.template,
            pool.sample_ids,
            fetch,
            precision,
            spec.max_tokens,
            progress,
        )
        checkpoint = warmed.checkpoint
        extra["in_warm_up"] = np.array([i in warmed.trained_on for i in pool.sample_ids])
    key = content_hash([signal.key(), checkpoint.key, precision.key, spec.max_tokens])
    folder = config.folder("blocks") / key
    todo = blocks.missing(folder, pool.sample_ids)
    held = len(pool) - len(todo)
    if held:
        progress.say(
            f"{signal.checkpoint}: {held:,} of {len(pool):,} samples reused, "
            f"{len(todo):,} to measure"
        )
    if todo:
        engine = loader.load(checkpoint, precision)
        lengths = blocks.lengths_of(todo, signal, engine, fetch)
        planned = blocks.plan(todo, lengths, engine.block_tokens)
        task = blocks.Task(signal, engine, fetch, folder, spec.max_tokens)
        total = sum(block.tokens for block in planned)
        with progress.stage(f"measuring {signal.checkpoint}", total, "tokens") as stage:
            for block in executor.map(task, planned):
                stage.advance(block.tokens)
    return checkpoint, blocks.gather(folder, pool.sample_ids) | extra


def rescore(run: stored.Run, columns: Mapping[str, Any], params: Mapping[str, Any]) -> Scores:
    """Scores of a run under other live knobs, from its stored columns; no model is touched.

    Raises:
        MethodError: a parameter is wrong.
        RunError: a parameter changes what must be measured.
    """
    method = build(run.method, run.params)
    if not method.is_live(params):
        do = f"Score again: sftlens score {run.pool} {run.method} " + " ".join(
            f"--set {k}={v}" for k, v in params.items()
        )
        raise RunError(run.run_id[:8], "these parameters need new measurements", do=do)
    return method.with_params(params).score(columns)


def versions() -> dict[str, str]:
    """Versions that shape numbers or bytes, for run cards, manifests and `doctor`."""
    from importlib.metadata import version

    names = ("torch", "transformers", "duckdb", "numpy", "pyarrow", "streamlit")
    python = ".".join(map(str, sys.version_info[:3]))
    return {"sftlens": __version__, "python": python} | {name: version(name) for name in names}


def job_id(spec: RunSpec) -> str:
    """Names a job by what was asked for, however its parameters were written.

    Raises:
        MethodError: the method or a parameter is wrong.
    """
    params = build(spec.method, spec.params).model_dump()
    return content_hash(["job", asdict(spec) | {"params": params}], 12)


def launch(spec: RunSpec) -> str:
    """Start scoring in a process of its own, and return its job id at once.

    The process runs the CLI, so it does exactly what the person's own command would. A job
    that is running already is left alone.

    Raises:
        MethodError: the method or a parameter is wrong.
        PoolError: the pool is unknown, empty, or a query set.
        ConfigError: the cache cannot be written.
    """
    job = job_id(spec)
    _scorable(spec.pool)
    config.check_writable()
    if any(j.job_id == job and j.state == "running" for j in jobs()):
        return job
    # fmt: off
    command = [
        sys.executable, "-m", "core.cli", "score", spec.pool, spec.method, "--model", spec.model,
        "--device", spec.device, "--dtype", spec.dtype, "--max-tokens", str(spec.max_tokens),
    ]
    # fmt: on
    for name, value in spec.params.items():
        command += ["--set", f"{name}={value}"]
    log = _status_path(job).with_name("log.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    starting = {"state": "running", "message": "starting", "spec": asdict(spec), "at": time.time()}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=config.ROOT,
            start_new_session=True,
        )
    own = {"pid": process.pid, "started": _start_of(process.pid)}
    if (files.read_json(_status_path(job)) or {}).get("pid") != process.pid:  # else it was quicker
        files.write_json(_status_path(job), starting | own)
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return job


def jobs() -> list[Job]:
    """Every job that left a status file, newest first."""
    folder = config.cache_dir() / "runs"
    found = [(p.parent.name, files.read_json(p)) for p in folder.glob("*/status.json")]
    known = [Job(name, _state(facts), facts) for name, facts in found if isinstance(facts, dict)]
    return sorted(known, key=lambda job: -float(job.facts.get("at", 0)))


def log_tail(job: str, lines: int = 40) -> str:
    """The last lines a launched job wrote; empty where there is no log."""
    path = _status_path(job).with_name("log.txt")
    if not path.is_file():
        return ""
    return "\n".join(path.read_text("utf8", errors="replace").splitlines()[-lines:])


def stop(job: str) -> None:
    """Ask a running job to stop; what it measured is kept."""
    found = next((j for j in jobs() if j.job_id == job), None)
    if found is not None and found.state == "running":
        with suppress(ProcessLookupError):  # it ended meanwhile
            # not SIGINT, which a process that a shell put into the background ignores
            os.kill(int(found.facts["pid"]), signals_of_the_system.SIGTERM)


def _state(facts: Mapping[str, Any]) -> str:
    """The state on file, but a running job whose process is gone was stopped."""
    state = str(facts.get("state", "stopped"))
    if state != "running":
        return state
    start, then = _start_of(int(facts.get("pid", 0))), facts.get("started")
    if start is None or then is None:
        return "stopped"
    # The system counts from its boot, whose time on the clock may move by a second.
    return "running" if abs(start - float(then)) < 2.0 else "stopped"


def _start_of(pid: int) -> float | None:
    """When a process began; None when there is none or it is a zombie. Guards reused pids."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except (psutil.Error, ValueError):
        return None


def _own_start() -> float | None:
    return _start_of(os.getpid())


def _status_path(job: str) -> Path:
    return config.cache_dir() / "runs" / job / "status.json"


def _report_end(progress: Progress, state: str, message: str, **facts: Any) -> None:
    """Write the last status; a full disk must not hide the error that ended the run."""
    try:
        progress.state(state, message=message, **facts)
    except OSError:
        return


def _report_refused(job: str, message: str) -> None:
    """Let the status that `launch` wrote for this very process say why it never began."""
    facts = files.read_json(_status_path(job))
    if isinstance(facts, dict) and facts.get("pid") == os.getpid():
        ended = Progress(_status_path(job), facts, quiet=True)
        _report_end(ended, "failed", message)


@contextmanager
def _alone(spec: RunSpec, job: str) -> Iterator[None]:
    """Hold the pool's scoring lock; the operating system frees it when the process dies."""
    import filelock

    folder = config.folder("runs")
    lock = filelock.FileLock(folder / f"{content_hash(spec.pool, 12)}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        other = next(
            (
                j
                for j in jobs()
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
