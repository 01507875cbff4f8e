"""The one way to score a pool. The CLI, the app and the demo all end in `execute`."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from core import __version__, access, calibration, config, files, jobs, places, store, warm_ups
from core.disk import check_room
from core.domain import Pool, RunSpec, content_hash
from core.engines.endpoint import checkpoint as endpoint_checkpoint
from core.engines.hardware import choose
from core.engines.line import named
from core.errors import MethodError, PoolError, SFTLensError
from core.executors import Executor, Serial
from core.measuring import COMMON, Measuring
from core.methods import Method, WarmUpFields, build, catalogue
from core.progress import Progress, duration
from core.signals import draws
from core.store import pools
from core.store import runs as stored
from core.warm_ups import Warmed

WARMS_ALL = "gradient_similarity"  # whose warm-up serves every method of `score --all`


@dataclass(frozen=True)
class Finished:
    """A run that is in the store, and whether it was there already."""

    run: stored.Run
    reused: bool


@access.acts("score", lambda spec, *_, **__: f"{spec.pool} {spec.method}")
def execute(
    spec: RunSpec,
    progress: Progress | None = None,
    executor: Executor | None = None,
    calibrate: Callable[..., Warmed] = calibration.calibrate,
) -> Finished:
    """Measure what is missing, score, and store the run. The same spec again is free.

    `calibrate` makes or finds the checkpoints of a warm-up.

    Raises:
        PoolError: the pool is unknown, empty, or a query set.
        MethodError: the method or a parameter is wrong.
        ModelError: the model cannot be loaded or calibrated.
        RunError: another process is scoring this pool.
        EndpointError: the server of answers cannot be used.
    """
    method = build(spec.method, spec.params)
    pool, query = scorable(spec, method)
    config.check_writable()
    job = jobs.job_id(spec)
    progress = progress or Progress(quiet=True)
    with jobs.alone(spec, job):
        progress.path = jobs.status_path(job)
        progress.facts = {"spec": asdict(spec), "started": jobs.own_start()}
        progress.state("running", message="starting")
        try:
            work = _measuring(spec, pool, query, progress, executor or Serial(), calibrate)
            return _execute(spec, method, work)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                jobs.report_end(progress, "stopped", jobs.GOES_ON)
            else:
                ours = not isinstance(error, SFTLensError | OSError)
                message = f"a fault of SFTLens: {error!r}" if ours else str(error)
                jobs.report_end(progress, "failed", message)
            raise


def execute_all(
    spec: RunSpec, progress: Progress | None = None, executor: Executor | None = None
) -> Iterator[Finished]:
    """Score with every published method and baseline, one after the other.

    What is shared is made once: all that need a warm-up get the same one (that of gradient
    similarity, whose adapter serves both), measurements with equal keys are the same parts, and
    texts are tokenised once. `spec.method` is not read. A parameter in `spec.params` goes to every
    method that has it, or with the method's name and a dot before it to that one. Methods that
    need a query set are left out without one.

    Raises: as `execute`.
    """
    methods = chosen_for_all(spec)
    for method in methods:  # before hours of work, and not after the first method
        scorable(spec, method)
    with jobs.alone(spec, ""):
        for method in methods:
            query = spec.query if method.needs_query() else ""
            answers = spec.answers if draws(method.needs()) else None
            params = method.model_dump()
            own = replace(spec, method=method.name, params=params, query=query, answers=answers)
            yield execute(own, progress, executor)


def chosen_for_all(spec: RunSpec) -> list[Method]:
    """The methods of `execute_all` with their parameters.

    Raises:
        MethodError: a parameter belongs to no method, or is out of bounds.
    """
    scorers = [cls for cls in catalogue().values() if cls.measures]
    known = {name for cls in scorers for name in cls.model_fields}
    known |= {f"{cls.name}.{name}" for cls in scorers for name in cls.model_fields}
    for name in spec.params:
        if name not in known:
            do = "See: sftlens methods NAME."
            raise MethodError(name, "no method has such a parameter", do=do)
    warm = build(WARMS_ALL)
    shared = {name: getattr(warm, name) for name in WarmUpFields.model_fields}
    methods = []
    for cls in scorers:
        params = dict(shared) if issubclass(cls, WarmUpFields) else {}
        params |= {k: v for k, v in spec.params.items() if k in cls.model_fields}
        own = {
            k.partition(".")[2]: v for k, v in spec.params.items() if k.startswith(f"{cls.name}.")
        }
        methods.append(build(cls.name, params | own))
    return [m for m in methods if spec.query or not m.needs_query()]


def scorable(spec: RunSpec, method: Method) -> tuple[Pool, Pool | None]:
    """The pool and the query set of a spec, if they are what the method needs.

    Raises: as `execute`.
    """
    if spec.answers and spec.method and not draws(method.needs()):
        what, do = "draws no answers", "Leave out --answers-endpoint."
        raise MethodError(method.name, what, do=do)
    if not method.measures:
        do = f"Import them: {stored.how(spec.pool, method.name)}."
        raise MethodError(method.name, "these scores come from a file", do=do)
    with store.connect() as con:
        pool = pools.get_pool(con, spec.pool)
        query = pools.get_pool(con, spec.query) if spec.query else None
    if pool.kind != "pool" or not len(pool):
        what = "is a query set" if pool.kind != "pool" else "holds no samples"
        raise PoolError(spec.pool, what, do="Choose a pool of samples: sftlens pools.")
    if not method.needs_query():
        return pool, None
    if query is None:
        do = "Name one: --query NAME (import it with: sftlens import FILE --query NAME)."
        raise MethodError(method.name, "needs a query set", do=do)
    if query.kind != "query" or not len(query):
        what = "is a pool of samples, not a query set" if len(query) else "holds no queries"
        raise PoolError(
            spec.query, what, do="Import the queries: sftlens import FILE --query NAME."
        )
    return pool, query


def _measuring(
    spec: RunSpec,
    pool: Pool,
    query: Pool | None,
    progress: Progress,
    executor: Executor,
    calibrate: Callable[..., Warmed],
) -> Measuring:
    precision = choose(spec.device, spec.dtype)
    shared = (pool, query, spec.model, precision, spec.max_tokens, progress, executor)
    measuring = Measuring(*shared, calibrate=calibrate)
    measuring.answers = named(spec.answers) if spec.answers else None
    return measuring


def _execute(spec: RunSpec, method: Method, measuring: Measuring) -> Finished:
    began = time.monotonic()
    pool, query, progress = measuring.pool, measuring.query, measuring.progress
    run_id = key_of(spec, method, pool, query, measuring)
    with store.connect() as con:
        known = stored.get_run(con, run_id)
    if known is not None:
        jobs.report_end(progress, "done", f"run {run_id[:8]} was scored before", run_id=run_id)
        return Finished(known, reused=True)
    check_room(method, measuring)
    x, done = measuring.arrays(method.needs())
    reduced = method.reduce(x)
    scores = method.score(reduced)
    common = {name: x[name] for name in COMMON if name not in reduced}
    scores = replace(scores, diagnostics={**common, **reduced, **scores.diagnostics})
    card = {
        "model": spec.model,
        "base": measuring.base().card(),
        "query": {"name": query.name, "fingerprint": query.fingerprint} if query else None,
        "checkpoints": {name: measured.checkpoint.card() for name, measured in done.items()},
        "parts": {name: measured.folder.name for name, measured in done.items()},
        "precision": measuring.precision.key,
        "max_tokens": spec.max_tokens,
        "versions": versions(),
    }
    if measuring.answers is not None:
        card["answers"] = measuring.answers.card()
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
    with store.connect(write=True, lasts_s=len(pool) / stored.IN_A_SECOND) as con:
        stored.add_run(con, run, pool.sample_ids, scores)
    message = f"scored {n_scored:,} of {len(pool):,} samples in {duration(run.seconds)}"
    jobs.report_end(progress, "done", message, run_id=run_id)
    return Finished(run, reused=False)


def key_of(
    spec: RunSpec, method: Method, pool: Pool, query: Pool | None, measuring: Measuring
) -> str:
    """The hash of everything that shapes the run's numbers."""
    needs = {
        name: [signal.key(), asdict(signal.warm_up) if signal.warm_up else None, signal.step]
        for name, signal in method.needs().items()
    }
    drawn_by = []  # no part of a key where the model itself draws, or nobody does
    if measuring.answers is not None and draws(method.needs()):
        drawn_by = [endpoint_checkpoint(measuring.answers).key]
    # the run's own model counts the tokens, whichever else measures
    models_used = {"", *(signal.model for signal in method.needs().values())}
    return content_hash(
        [
            "run",
            method.version,
            pool.name,  # a run belongs to one pool; its parts are shared by all
            pool.fingerprint,
            query.fingerprint if query else None,
            method.name,
            method.model_dump(),
            {model: measuring.base(model).key for model in sorted(models_used)},
            measuring.precision.key,
            spec.max_tokens,
            warm_ups.VERSION,
            needs,
            *drawn_by,
        ]
    )


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
        AccessError: who acts may not score, or a model is a path outside, see `places`.
        MethodError: the method or a parameter is wrong.
        PoolError: the pool is unknown, empty, or a query set.
        ConfigError: the cache cannot be written.
    """
    access.need("score", f"{spec.pool} {spec.method}")
    spec = _inside(spec)
    job = jobs.job_id(spec)
    scorable(spec, build(spec.method, spec.params))
    config.check_writable()
    if any(j.job_id == job and j.state == "running" for j in jobs.every()):
        return job
    # fmt: off
    command = [
        "score", spec.pool, spec.method, "--model", spec.model,
        "--device", spec.device, "--dtype", spec.dtype, "--max-tokens", str(spec.max_tokens),
    ]
    # fmt: on
    if spec.query:
        command += ["--query", spec.query]
    if spec.answers:
        at = spec.answers
        command += ["--answers-endpoint", at.url, "--answers-concurrency", str(at.at_once)]
        command += ["--answers-model", at.model] if at.model else []
    for name, value in spec.params.items():
        command += ["--set", f"{name}={value}"]
    starting = {"state": "running", "message": "starting", "spec": asdict(spec), "at": time.time()}
    process = jobs.spawn(command, jobs.status_path(job).with_name("log.txt"))
    own = {"pid": process.pid, "started": jobs.start_of(process.pid)}
    told = files.read_json(jobs.status_path(job)) or {}
    if told.get("pid") != process.pid:  # else it was quicker
        files.write_json(jobs.status_path(job), starting | own)
    return job


def _inside(spec: RunSpec) -> RunSpec:
    """The spec with the models that somebody typed, none of them a path that leads out."""
    fields = catalogue()[spec.method].model_fields if spec.method in catalogue() else {}
    typed = {k: places.model(v) for k, v in spec.params.items() if _names_a_model(fields.get(k), v)}
    return replace(spec, model=places.model(spec.model), params={**spec.params, **typed})


def _names_a_model(field: object, value: object) -> bool:
    """Whether a parameter is free text, which may be a model's path; a choice has its own list."""
    return isinstance(value, str) and getattr(field, "annotation", str) is str
