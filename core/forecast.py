"""What scoring would take, told before it starts: `sftlens score --dry-run`, and the Runs page."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core import config, kept_rates, models, runs, store, timings
from core.disk import free_bytes, scoring
from core.domain import RunSpec
from core.engines.hardware import Precision, choose, fast_bf16
from core.engines.line import named
from core.errors import ModelError
from core.estimates import Estimate, Rates, Stage, size
from core.executors import Serial
from core.measuring import Measuring
from core.methods import Method, build
from core.models import Checkpoint
from core.planning import Planner
from core.progress import Progress, duration
from core.speed import Bench
from core.store import runs as stored

SHARE_S = 0.7  # seconds a kind of work, where nothing is kept and something must be known
QUICKLY = "a few seconds, just now"
BENCH = "sftlens doctor --bench"
Told = Callable[[str, str], None]


@dataclass(frozen=True)
class Part:
    """A method's part of a forecast; `run` is there already, or empty."""

    method: Method
    stages: Sequence[Stage]
    run: str = ""


@dataclass(frozen=True)
class Forecast:
    """Steps of one method after the other, the free bytes, and where the rates are from."""

    parts: Sequence[Part]
    free: int
    rates: Sequence[Rates]
    precision: Precision

    @property
    def estimate(self) -> Estimate:
        """All of it."""
        return Estimate([stage for part in self.parts for stage in part.stages])


class Source:
    """Kept rates; with `told`, what they lack is timed in a few seconds and kept."""

    def __init__(self, told: Told | None = None) -> None:
        self.told = told
        self.used: dict[str, Rates] = {}

    def __call__(
        self, base: Checkpoint, precision: Precision, kinds: Sequence[str]
    ) -> Rates | None:
        """See `planning.RatesOf`."""
        found = kept_rates.kept(base, precision)
        lacking = [k for k in kinds if not (found and found.per_s.get(k))]
        if lacking and self.told is not None:
            found = self._timed(base, precision, lacking)
        if found is not None and kinds:
            self.used[found.key] = found
        return found

    def _timed(self, base: Checkpoint, precision: Precision, kinds: Sequence[str]) -> Rates | None:
        assert self.told is not None
        bench = Bench(base, precision, SHARE_S)
        names = list(timings.timed_for(kinds))
        kept_rates.keep(timings.measured(bench, names, QUICKLY, self.told))
        return kept_rates.kept(base, precision)


def forecast(
    spec: RunSpec, told: Told | None = None, guess: bool = False, workers: int | None = None
) -> Forecast:
    """What `runs.execute(spec)` would do; with no method, what `execute_all` would.

    With `told`, rates that nobody measured yet are timed on the way; without, their seconds are
    None. `guess` counts tokens by characters. Nothing but rates is written.

    A server of answers is asked for the name of its model, if it was not given.

    Raises: as `runs.execute`, and ModelError for a model that is not here yet.
    """
    methods = [build(spec.method, spec.params)] if spec.method else runs.chosen_for_all(spec)
    checked = [runs.scorable(spec, method) for method in methods]
    pool, query = checked[0][0], next((q for _, q in checked if q is not None), None)
    precision = settled(spec) if guess else choose(spec.device, spec.dtype)
    source = Source(told)
    for model in {signal.model for method in methods for signal in method.needs().values()} | {""}:
        _check_here(spec.model if not model or spec.model == "fake" else model)
    quiet = Progress(quiet=True)
    work = Measuring(pool, query, spec.model, precision, spec.max_tokens, quiet, Serial())
    work.answers = named(spec.answers) if spec.answers else None
    planner = Planner(work, source, guess, workers)
    parts = []
    for method, (_, own) in zip(methods, checked, strict=True):
        run = runs.key_of(spec, method, pool, own, work)
        with store.connect() as con:
            there = stored.get_run(con, run) is not None
        ahead = [] if there else planner.stages(method.needs())
        stages = ahead if there else [*ahead, scoring(method, work, look=not guess)]
        parts.append(Part(method, stages, run if there else ""))
    return Forecast(parts, free_bytes(), list(source.used.values()), precision)


def settled(spec: RunSpec) -> Precision:
    """As `hardware.choose`, without torch, which no page loads: a card is there if rates say so."""
    on_card = any((config.cache_dir() / "bench").glob("bench-*-cuda-*.json"))
    device = spec.device if spec.device != "auto" else "cuda" if on_card else "cpu"
    if spec.dtype != "auto":
        return Precision(device, spec.dtype)
    fast = device != "cpu" or fast_bf16(device)
    return Precision(device, "bf16" if fast else "fp32")


def lines(found: Forecast) -> Iterator[str]:
    """A forecast as lines for a person: steps, time, disk, memory, and where rates are from."""
    for part in found.parts:
        if part.run:
            yield f"{part.method.name}: run {part.run} is there already"
        for stage in part.stages:
            yield f"  {_step(stage)}"
    whole = found.estimate
    time = "unknown, as some rates are" if whole.seconds is None else duration(whole.seconds)
    yield f"time      {time}, in {processes(whole)}"
    room = "enough" if whole.fits(found.free) else "NOT ENOUGH: the run would be refused"
    yield f"disk      {size(whole.needed)} needed, {size(found.free)} free: {room}"
    if whole.memory:
        yield f"memory    {size(whole.memory)} at least, for the weights of the largest step"
    for rates in found.rates:
        where = f"{rates.model}, {rates.precision}, {rates.path}"
        yield f"rates     {where}: measured {rates.date} by {rates.how}"


def processes(whole: Estimate) -> str:
    """`one process`, `2 processes`."""
    return "one process" if whole.workers == 1 else f"{whole.workers} processes"


def _step(stage: Stage) -> str:
    """One step as a line."""
    name = f"{stage.name:44}"
    if not stage.left:
        return f"{name} nothing left"
    of = "" if stage.left == stage.total else f" of {stage.total:,}"
    time = "time unknown" if stage.seconds is None else duration(stage.seconds)
    kept = f", {size(stage.kept)}" if stage.kept else ""
    return f"{name} {stage.left:,}{of} {stage.unit}, {time}{kept}"


def _check_here(name: str) -> None:
    """Refuse a model that would have to be fetched first: that is no dry run.

    Raises:
        ModelError: it is not on this machine.
    """
    here = models.is_here(name)
    hub = name.count("/") == 1 and not name.startswith((".", "/", "~")) and ".gguf" not in name
    if here and hub and not os.path.exists(name):
        from huggingface_hub import snapshot_download

        repo, _, revision = name.partition("@")
        try:
            snapshot_download(repo, revision=revision or None, local_files_only=True)
        except (OSError, ValueError):  # its own errors are of these kinds
            here = False
    if not here:
        do = f"Fetch it with: {BENCH} --model {name}."
        raise ModelError(name, "is not on this machine yet, so nothing can be told", do=do)
