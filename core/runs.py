"""The one way to score a pool. The CLI, the app and the demo all end in `execute`."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import __version__, blocks, calibration, config, files, jobs, models, store
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


@dataclass(frozen=True)
class Finished:
    """A run that is in the store, and whether it was there already."""

    run: stored.Run
    reused: bool


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
    job = jobs.job_id(spec)
    progress = progress or Progress(quiet=True)
    with jobs.alone(spec, job):
        progress.path = jobs.status_path(job)
        progress.facts = {"spec": asdict(spec), "started": jobs.own_start()}
        progress.state("running", message="starting")
        try:
            return _execute(spec, method, pool, progress, executor or Serial())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                jobs.report_end(progress, "stopped", jobs.GOES_ON)
            else:
                ours = not isinstance(error, SFTLensError | OSError)
                message = f"a fault of SFTLens: {error!r}" if ours else str(error)
                jobs.report_end(progress, "failed", message)
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
        jobs.report_end(progress, "done", f"run {run_id[:8]} was scored before", run_id=run_id)
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
    jobs.report_end(progress, "done", message, run_id=run_id)
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


def launch(spec: RunSpec) -> str:
    """Start scoring in a process of its own, and return its job id at once.

    The process runs the CLI, so it does exactly what the person's own command would. A job
    that is running already is left alone.

    Raises:
        MethodError: the method or a parameter is wrong.
        PoolError: the pool is unknown, empty, or a query set.
        ConfigError: the cache cannot be written.
    """
    job = jobs.job_id(spec)
    _scorable(spec.pool)
    config.check_writable()
    if any(j.job_id == job and j.state == "running" for j in jobs.every()):
        return job
    # fmt: off
    command = [
        sys.executable, "-m", "core.cli", "score", spec.pool, spec.method, "--model", spec.model,
        "--device", spec.device, "--dtype", spec.dtype, "--max-tokens", str(spec.max_tokens),
    ]
    # fmt: on
    for name, value in spec.params.items():
        command += ["--set", f"{name}={value}"]
    log = jobs.status_path(job).with_name("log.txt")
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
    own = {"pid": process.pid, "started": jobs.start_of(process.pid)}
    told = files.read_json(jobs.status_path(job)) or {}
    if told.get("pid") != process.pid:  # else it was quicker
        files.write_json(jobs.status_path(job), starting | own)
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return job
