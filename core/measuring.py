"""Signals -> arrays: which checkpoint measures which samples, and what is still missing.

One `Measuring` serves a run: it makes a warm-up once, keeps the engine of the last checkpoint, and
measures only what no part on disk holds. Runs share what they share through those parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import blocks, calibration, config, executors, models, store
from core.domain import Pool, WarmUp, content_hash, id_hash
from core.endpoints import Endpoint
from core.engines import endpoint, loader
from core.engines.endpoint import EndpointEngine
from core.engines.hardware import Precision
from core.executors import Executor
from core.executors.overlapped import Overlapped, enough
from core.fetching import Texts
from core.models import Checkpoint
from core.offered import Arrays
from core.progress import Progress
from core.signals import Answers, Signal
from core.store import pools
from core.warm_ups import Warmed

COMMON = ("id_hash", "n_chars", "n_tokens")  # of every pool: policies and rules read them


@dataclass(frozen=True)
class Ahead:
    """What measuring a signal would be: on which samples, by which checkpoint, kept where."""

    name: str
    signal: Signal
    pool: Pool
    checkpoint: Checkpoint
    precision: Precision
    folder: Path
    extra: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Measured:
    """A signal that was measured for all of its samples."""

    folder: Path
    checkpoint: Checkpoint
    extra: Mapping[str, NDArray[Any]]


@dataclass
class Measuring:
    """Measures signals of a pool and of a query set. See the module."""

    pool: Pool
    query: Pool | None
    model: str
    precision: Precision
    max_tokens: int
    progress: Progress
    executor: Executor
    blocks_in: Path | None = None  # where parts are kept, the cache's own folder by default
    calibrate: Callable[..., Warmed] = calibration.calibrate  # a plan only foresees
    answers: Endpoint | None = None  # a server that draws them, the model itself by default
    _bases: dict[str, Checkpoint] = field(default_factory=dict)
    _warmed: dict[tuple[Any, ...], Warmed] = field(default_factory=dict)
    _engine: tuple[tuple[str, Precision], loader.Loadable] | None = None

    def arrays(self, needs: Mapping[str, Signal]) -> tuple[Arrays, dict[str, Measured]]:
        """Measure all needs; the arrays by `need_column`, and what was measured by need."""
        x, done = Arrays(), {}
        for name, signal in needs.items():
            done[name] = self.measure(signal)
            self._offer(x, name, signal, done[name])
        ids = self.pool.sample_ids
        x.offer("id_hash", lambda: id_hash(ids))
        x.offer("n_chars", self._response_chars)
        x.offer("n_tokens", self._response_tokens)
        return x, done

    def _offer(self, x: Arrays, name: str, signal: Signal, done: Measured) -> None:
        ids = self._samples(signal).sample_ids
        for column in blocks.columns(done.folder):
            x.offer(
                f"{name}_{column}",
                lambda column=column: blocks.gather(done.folder, ids, column)[column],  # type: ignore[misc]
            )
        for column, array in done.extra.items():
            x.offer(f"{name}_{column}", lambda array=array: array)  # type: ignore[misc]

    def _response_chars(self) -> NDArray[Any]:
        with store.connect() as con:
            return pools.response_chars(con, self.pool.name)[: len(self.pool)]

    def _response_tokens(self) -> NDArray[Any]:
        """Response tokens of each sample under the run's own model, (n,); no weights are read."""
        ids = self.pool.sample_ids
        engine, fetch = self._loaded(self.base(), self.precision), self.fetch(self.pool, ids)
        chunks = [ids[k : k + blocks.PLAN_CHUNK] for k in range(0, len(ids), blocks.PLAN_CHUNK)]
        counts = [engine.response_lengths(fetch(chunk), "chat") for chunk in chunks]
        return np.concatenate(counts)

    def measure(self, signal: Signal) -> Measured:
        """Measure what no part holds of a signal, and of the signal it comes after."""
        before = self.measure(signal.after) if signal.after is not None else None
        ahead = self.ahead(signal, before.folder.name if before else "")
        folder, pool, name = ahead.folder, ahead.pool, ahead.name
        executors.bring(self.executor, folder)
        todo = blocks.missing(folder, pool.sample_ids)
        held = len(pool) - len(todo)
        if held:
            self.progress.say(
                f"{name}: {held:,} of {len(pool):,} samples reused, {len(todo):,} to measure"
            )
        if todo:
            self._work(signal, ahead.checkpoint, folder, before, todo, name)
        return Measured(folder, ahead.checkpoint, ahead.extra)

    def ahead(self, signal: Signal, after: str = "") -> Ahead:
        """What `measure` would do; `after` names the folder of the signal that comes before."""
        checkpoint, extra = self.checkpoint(signal)
        precision, pool = self._precision(signal), self._samples(signal)
        shaped_by = [signal.key(), checkpoint.key, precision.key, self.max_tokens]
        name = content_hash([*shaped_by, after] if after else shaped_by)
        folder = (self.blocks_in or config.folder("blocks")) / name
        title = _title(signal)
        if checkpoint.kind == "server":
            title = f"answers by {checkpoint.name}"
        return Ahead(title, signal, pool, checkpoint, precision, folder, extra)

    def _work(
        self,
        signal: Signal,
        checkpoint: Checkpoint,
        folder: Path,
        before: Measured | None,
        todo: Sequence[str],
        name: str,
    ) -> None:
        engine = self._loaded(checkpoint, self._precision(signal))
        pool = self._samples(signal)
        planned, unit = blocks.planned(todo, signal, engine, self.fetch(pool, todo))
        fetch = self.fetch(pool, [i for block in planned for i in block.ids])
        given = before.folder if before is not None else None
        task = blocks.Task(signal, engine, fetch, folder, self.max_tokens, given)
        executor = self.executor
        if isinstance(engine, EndpointEngine):  # the work is another machine's
            executor = Overlapped(engine, enough(engine.at.at_once, signal.per_block))
        with self.progress.stage(f"measuring {name}", sum(b.work for b in planned), unit) as stage:
            for block in executor.map(task, planned):
                stage.advance(block.work)
        if isinstance(engine, EndpointEngine):
            self.progress.say(engine.told())

    def _samples(self, signal: Signal) -> Pool:
        if signal.on == "pool":
            return self.pool
        assert self.query is not None, "checked before anything is measured"
        return self.query

    def fetch(self, pool: Pool, order: Sequence[str] = ()) -> blocks.Fetch:
        """What reads samples of a pool; `order` says which ones will be asked for, in turn."""
        return Texts(pool, order)

    def checkpoint(self, signal: Signal) -> tuple[Checkpoint, dict[str, NDArray[Any]]]:
        """The checkpoint that measures a signal, trained where it must be; and its extra arrays.

        The order of step is the order of training. Asking for more checkpoints than the steps
        of a tiny training gives its last one again.
        """
        if self._is_drawn(signal) and self.answers is not None:
            return endpoint.checkpoint(self.answers), {}
        base = self.base(signal.model)
        if signal.warm_up is None:
            return base, {}
        warmed = self._warm(base, signal.warm_up, signal)
        step = min(signal.step, len(warmed.steps) - 1) if signal.step >= 0 else -1
        trained = warmed.trained_on
        ids = self._samples(signal).sample_ids
        extra = {
            "in_warm_up": np.array([i in trained for i in ids], bool),
            "rate": np.array([warmed.rates[step]]),
        }
        return warmed.steps[step], extra

    def base(self, model: str = "") -> Checkpoint:
        """The model by this name; the fake one stands for all others in a run with it."""
        fake = self.model == "fake"
        name = self.model if fake or not model else model
        if name not in self._bases:
            self._bases[name] = models.resolve(name, self.progress)
        return self._bases[name]

    def _warm(self, base: Checkpoint, warm_up: WarmUp, signal: Signal) -> Warmed:
        key = (base.key, warm_up, signal.template)
        if key not in self._warmed:
            self._warmed[key] = self.calibrate(
                base,
                warm_up,
                signal.template,
                self.pool.sample_ids,
                self.fetch(self.pool),
                self.precision,
                self.max_tokens,
                self.progress,
            )
        return self._warmed[key]

    def _is_drawn(self, signal: Signal) -> bool:
        """Whether a server measures this."""
        return self.answers is not None and isinstance(signal, Answers)

    def _precision(self, signal: Signal) -> Precision:
        """See `Precision.of`; a server has its own."""
        if self._is_drawn(signal):
            return endpoint.THERE
        return self.precision.of(signal.steady)

    def _loaded(self, checkpoint: Checkpoint, precision: Precision) -> loader.Loadable:
        """The engine of a checkpoint; one is kept, so that two signals of a model load it once."""
        if checkpoint.kind == "server" and self.answers is not None:
            return EndpointEngine(self.answers)
        key = (checkpoint.key, precision)
        if self._engine is None or self._engine[0] != key:
            self._engine = (key, loader.load(checkpoint, precision))
        return self._engine[1]


def _title(signal: Signal) -> str:
    """What a stage is called: `answers by base`, `gradient 2 by warm-up of the queries`."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(signal).__name__).strip()
    number = f" {signal.step + 1}" if signal.step >= 0 else ""
    of = " of the queries" if signal.on == "query" else ""
    if type(signal).__name__ == "TokenStats":
        return f"{signal.checkpoint}{number}{of}"
    return f"{words} by {signal.checkpoint}{number}{of}"
