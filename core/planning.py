"""What a run has ahead of it: which steps, what of them is done already, seconds and bytes.

It goes the way of `core.measuring`, to the same folders of parts, but trains, measures and
writes nothing. Long pools are judged by some of their samples, evenly taken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core import blocks, config, files, footprint, warm_ups
from core.counting import Characters, Counter, spread, tokens_of
from core.domain import Pool, Sample, WarmUp
from core.engines import loader
from core.engines.fake import WIDTH as FAKE_WIDTH
from core.engines.hardware import Precision
from core.engines.weights import n_weights
from core.estimates import Rates, Stage, scaled
from core.executors import room
from core.executors.processes import WORTH_BLOCKS
from core.kept_rates import kept
from core.measuring import Ahead, Measuring
from core.models import Checkpoint
from core.signals import Signal
from core.training import SAVE_EVERY_S, saves_at
from core.workload import Reader, shown, trained, work

SEEN = 1024  # samples that stand for all, at most
ITEM = {"fp32": 4, "bf16": 2}  # bytes of a weight
ANSWER_BYTES = 4.0  # of each token that an answer may have, where none were timed

RatesOf = Callable[[Checkpoint, Precision, Sequence[str]], Rates | None]


def known(base: Checkpoint, precision: Precision, kinds: Sequence[str]) -> Rates | None:
    """The kept rates of a model, whichever kinds they hold."""
    return kept(base, precision)


@dataclass
class Planner:
    """Plans the needs of one method after the other; what they share is planned once.

    `rates` gives the rates of a model for kinds of work, None where there are none. `guess`:
    count tokens by characters, so that no tokenizer is loaded. `workers` processes share what is
    measured; None: as many as there is room for.
    """

    measuring: Measuring
    rates: RatesOf = known
    guess: bool = False
    workers: int | None = None
    fresh: bool = False  # as if nothing were there yet
    _planned: set[Any] = field(default_factory=set)
    _loaded: Any = None
    _readers: dict[str, Reader] = field(default_factory=dict)
    _texts: dict[tuple[str, ...], Sequence[Sample]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        blocks_in = self.measuring.blocks_in or config.cache_dir() / "blocks"
        self.measuring = replace(
            self.measuring,
            blocks_in=blocks_in,
            calibrate=warm_ups.foreseen,
            _warmed={},
            _engine=None,
        )

    def stages(self, needs: Mapping[str, Signal]) -> list[Stage]:
        """The steps that these needs take, in order, but for those that were planned before."""
        out: list[Stage] = []
        for signal in needs.values():
            self._signal(signal, out)
        return out

    def _signal(self, signal: Signal, out: list[Stage]) -> str:
        """Plan a signal, after what comes before it; the name of its folder."""
        after = self._signal(signal.after, out) if signal.after is not None else ""
        base = self.measuring.base(signal.model)
        if signal.warm_up is not None and base.folder:
            self._warm_up(signal, signal.warm_up, base, out)
        ahead = self.measuring.ahead(signal, after)
        if ahead.folder not in self._planned:
            self._planned.add(ahead.folder)
            there = ahead.checkpoint.kind == "server"
            out.append(self._drawing(ahead) if there else self._measuring(ahead, base))
        return ahead.folder.name

    def _todo(self, ahead: Ahead) -> list[str]:
        """The samples that no part holds."""
        held = set() if self.fresh else blocks.ids_on_disk(ahead.folder)
        return [i for i in ahead.pool.sample_ids if i.encode() not in held]

    def _drawing(self, ahead: Ahead) -> Stage:
        """Answers by a server, whose speed nobody knows beforehand."""
        todo, n = self._todo(ahead), len(ahead.pool)
        seen = self._some(ahead.pool, todo or ahead.pool.sample_ids[:1])
        parts = footprint.n_parts(ahead.signal, len(todo), 0, 1)
        shown_on = seen[: footprint.SHAPED]
        kept = footprint.parts_bytes(ahead.signal, shown_on, len(todo), parts, 0, ANSWER_BYTES)
        seconds = None if todo else 0.0
        return Stage(f"measuring {ahead.name}", "samples", n, len(todo), seconds, kept)

    def _measuring(self, ahead: Ahead, base: Checkpoint) -> Stage:
        todo = self._todo(ahead)
        signal, n, precision = ahead.signal, len(ahead.pool), self.measuring.precision
        seen = self._some(ahead.pool, todo or ahead.pool.sample_ids[:1])
        by = self._reader(base, signal)
        unit, count = shown(signal, seen, by)
        left = round(count * len(todo) / len(seen))
        total = left if len(todo) == n else round(count * n / len(seen))
        amounts = scaled(work(signal, seen, by), len(todo), len(seen))
        rates = self.rates(base, precision, list(amounts)) if todo else None
        by = self._with(by, rates)  # how long answers are is known with the rates
        amounts = scaled(work(signal, seen, by), len(todo), len(seen))
        parts = self._parts(ahead, base, len(todo), left)
        workers = self._workers(ahead, base, parts)
        return Stage(
            f"measuring {ahead.name}",
            unit,
            total,
            left,
            self._shared(rates, amounts, ahead, workers) if todo else 0.0,
            self._part_bytes(ahead, base, seen, len(todo), parts, rates),
            memory=workers * n_weights(base.folder) * ITEM[ahead.precision.dtype] if todo else 0,
            workers=workers,
        )

    def _some(self, pool: Pool, ids: Sequence[str]) -> Sequence[Sample]:
        """Samples that stand for these; steps of the same samples read them once."""
        chosen = tuple(spread(ids, SEEN))
        if chosen not in self._texts:
            self._texts = {chosen: self.measuring.fetch(pool)(chosen)}
        return self._texts[chosen]

    def _workers(self, ahead: Ahead, base: Checkpoint, parts: int) -> int:
        """Processes that share a step, as `executors.processes` decides it."""
        engine = loader.load(base, ahead.precision)
        task = blocks.Task(ahead.signal, engine, self.measuring.fetch(ahead.pool), ahead.folder, 0)
        fit = room.workers(task)
        if self.workers is None and (parts < WORTH_BLOCKS or not base.folder):
            return 1
        wanted = fit if self.workers is None else self.workers
        return max(1, min(wanted, parts, wanted if ahead.precision.device == "cpu" else fit))

    def _shared(
        self, rates: Rates | None, amounts: Mapping[str, float], ahead: Ahead, workers: int
    ) -> float | None:
        """Seconds of a step that workers share; the model is loaded where another one was."""
        spent = rates.seconds(amounts) if rates else None
        key = (ahead.checkpoint.key, ahead.precision)
        new, self._loaded = key != self._loaded, key
        if rates is None or spent is None:
            return None
        return spent / workers + (rates.load_s if new else 0.0)

    def _parts(self, ahead: Ahead, base: Checkpoint, n: int, tokens: int) -> int:
        block = loader.load(base, ahead.precision).block_tokens
        return footprint.n_parts(ahead.signal, n, tokens, block)

    def _part_bytes(
        self,
        ahead: Ahead,
        base: Checkpoint,
        seen: Sequence[Sample],
        n: int,
        parts: int,
        rates: Rates | None,
    ) -> int:
        if not n:
            return 0
        text = None if not base.folder else rates.answer_bytes if rates else ANSWER_BYTES
        width = footprint.width(base.folder) if base.folder else FAKE_WIDTH
        shown_on = seen[: footprint.SHAPED]
        return footprint.parts_bytes(ahead.signal, shown_on, n, parts, width, text)

    def _reader(self, base: Checkpoint, signal: Signal) -> Reader:
        """What counts the work of a model: by its rates' own cost, where it has rates."""
        if base.key not in self._readers:
            rates = self.rates(base, self.measuring.precision, ())
            longest, sentence = self.measuring.max_tokens, base.kind == "sentence"
            by = Reader(self._counter(base, rates), longest=longest, sentence=sentence)
            self._readers[base.key] = self._with(by, rates)
        by = self._readers[base.key]
        rank = signal.warm_up.rank if signal.warm_up else 0
        return replace(by, weights=footprint.adapter_weights(base.folder, rank)) if rank else by

    def _counter(self, base: Checkpoint, rates: Rates | None) -> Counter:
        if self.guess:
            return Characters(rates.characters, rates.shared) if rates else Characters()
        return tokens_of(base, self.measuring.precision)

    def _with(self, by: Reader, rates: Rates | None) -> Reader:
        if rates is None:
            return by
        return replace(by, cost=rates.cost, ends=rates.ends, longest=min(by.longest, rates.limit))

    def _warm_up(self, signal: Signal, asked: WarmUp, base: Checkpoint, out: list[Stage]) -> None:
        """Plan the training that makes a signal's checkpoint."""
        key = (base.key, asked, signal.template)
        if key in self._planned:
            return
        self._planned.add(key)
        m = self.measuring
        ids, at_most = m.pool.sample_ids, m.max_tokens
        drawn, own, found = warm_ups.sought(base, asked, signal.template, ids, m.precision, at_most)
        made = not self.fresh and found is not None
        out.append(self._training(signal, warm_ups.settled(base, asked), base, drawn, own, made))

    def _training(
        self,
        signal: Signal,
        warm_up: WarmUp,
        base: Checkpoint,
        drawn: Sequence[str],
        key: str,
        made: bool,
    ) -> Stage:
        m, kind = self.measuring, f"training {warm_up.adapter}"
        seen = self._some(m.pool, drawn)
        by = self._reader(base, signal)
        tokens = by.counter.whole(seen, signal.template).sum() * len(drawn) / len(seen)
        losses = files.read_json(Path(f"{warm_ups.place(key)}.state") / "losses.json") or []
        epochs = 0 if made else warm_up.epochs - len(losses)
        rates = self.rates(base, m.precision, [kind]) if epochs else None
        by = self._with(by, rates)
        amount = trained(seen, signal.template, by) * epochs * len(drawn) / len(seen)
        seconds = 0.0 if not epochs else rates.seconds({kind: amount}) if rates else None
        if seconds and rates:
            seconds += rates.load_s
        n, own = (
            n_weights(base.folder),
            by.weights if warm_up.adapter == "lora" else n_weights(base.folder),
        )
        saves = len(saves_at(len(drawn), warm_up))
        item = ITEM[m.precision.dtype]
        stays = footprint.checkpoint_bytes(base.folder, warm_up, saves, n, item)
        long = epochs and warm_up.epochs > 1 and (seconds is None or seconds > SAVE_EVERY_S)
        return Stage(
            f"warm-up of {signal.checkpoint}",
            "tokens",
            round(tokens * warm_up.epochs),
            round(tokens * epochs),
            seconds,
            stays if epochs else 0,
            2 * 12 * own if long else 0,  # weights and moments of two epochs
            (4 * n + 12 * own) if epochs else 0,
        )
