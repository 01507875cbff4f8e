"""How fast this machine measures: the real engine on a small fixed corpus, kind by kind.

The corpus is the demo's samples. Each kind of work is tried on a few samples, then timed on as
many as fill its share of time. What is found is kept in the cache (see `core.kept_rates`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from core import kept_rates, records, warm_ups
from core.counting import tokens_of
from core.domain import Sample, WarmUp
from core.engines import loader
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.estimates import Cost, Rates, cost
from core.models import Checkpoint
from core.workload import Reader

MAX_TOKENS = 4096
FEW = 8  # samples that a kind of work is tried on
MOST = 20_000  # samples that it is timed on, at most
WARM_UP = WarmUp(0.1, 1, 1e-6, 8, 42)  # that is timed, with either adapter


@cache
def corpus() -> tuple[Sample, ...]:
    """The demo's samples, in order."""
    path = Path(__file__).parent / "demo" / "pool.jsonl"
    read = (record for record in records.read(path))
    return tuple(r.sample for r in read if isinstance(r, records.Read))


@dataclass
class Bench:
    """Times one model at one precision; `share_s` seconds a kind, or so."""

    checkpoint: Checkpoint
    precision: Precision
    share_s: float = 1.0
    max_tokens: int = MAX_TOKENS
    _engines: dict[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> bool:
        """Whether it is a sentence embedder."""
        return self.checkpoint.kind == "sentence"

    def kinds(self) -> tuple[str, ...]:
        """What can be timed; training of all weights only where that is the default."""
        if self.sentence:
            return ("sentence embedding",)
        plain = ("reading", "answer token", "pooling", "gradients", "sampling")
        if not self.checkpoint.folder:
            return plain
        full = warm_ups.settled(self.checkpoint, WARM_UP).adapter == "full"
        return (*plain, "training lora", *(["training full"] if full else []))

    def blank(self, how: str) -> Rates:
        """Rates of nothing yet, with all that needs no clock."""
        return Rates(
            self.checkpoint.name,
            self.checkpoint.key,
            self.precision.key,
            how,
            time.strftime("%Y-%m-%d %H:%M"),
            self.path(),
            threads(),
            kept_rates.versions(),
            {},
            self.cost,
            characters=self._characters(),
            shared=0 if self.sentence else self.reader().counter.start(corpus(), "chat"),
            limit=self.limit,
        )

    def path(self) -> str:
        """Which way the model is run."""
        if not isinstance(self.engine, HFEngine):
            return "sentence-transformers" if self.sentence else "no model"
        return "fast path" if getattr(self.engine, "stack", None) else "plain transformers path"

    @property
    def engine(self) -> Any:
        """The engine at the precision of a run."""
        return self.at(self.precision)

    def at(self, precision: Precision) -> Any:
        """The engine at this precision; one is kept, so that memory holds one model."""
        if precision.key not in self._engines:
            self._engines = {precision.key: loader.load(self.checkpoint, precision)}
        return self._engines[precision.key]

    @cached_property
    def cost(self) -> Cost:
        """What attention and head of this model add to a token."""
        if not self.checkpoint.folder:
            return Cost()
        return cost_of(self.checkpoint)

    @cached_property
    def limit(self) -> int:
        """The model's longest text."""
        return int(getattr(self.engine, "limit", 2**31))

    def reader(self, ends: float = 0.0, weights: int = 0) -> Reader:
        """What counts the work of this model."""
        longest = min(self.limit, self.max_tokens)
        counter = tokens_of(self.checkpoint, self.precision)
        return Reader(counter, self.cost, longest, ends, weights, self.sentence)

    def _characters(self) -> tuple[float, float, float, float]:
        """Tokens by characters, as straight lines through the corpus."""
        counter, some = self.reader().counter, corpus()
        if self.sentence:
            said = [len(s.turns[0].content) for s in some]
            line = np.polyfit(said, counter.text(some, "instruction"), 1)
            return (*map(float, line), *map(float, line))  # type: ignore[return-value]
        whole = [sum(len(t.content) for t in s.turns) for s in some]
        lines = (
            np.polyfit(whole, counter.whole(some, "chat"), 1),
            np.polyfit([len(s.response) for s in some], counter.answer(some, "chat"), 1),
        )
        return tuple(float(x) for line in lines for x in line)  # type: ignore[return-value]

    def timed(
        self, go: Callable[[Sequence[Sample]], Any], few: int = FEW
    ) -> tuple[list[Sample], float]:
        """Samples and the seconds that they took: a few, or as many as fill the time."""
        go(corpus()[:2])  # what is done once, and buffers that are made once, do not count
        chosen, spent = list(corpus()[:few]), _seconds(go, corpus()[:few])
        if spent < self.share_s / 2:
            n = int(np.clip(self.share_s / max(spent / few, 1e-7), few, MOST))
            chosen = list(islice(cycle(corpus()), n // few * few))
            spent = _seconds(go, chosen)
        return chosen, max(spent, 1e-9)


def _seconds(go: Callable[[Sequence[Sample]], Any], some: Sequence[Sample]) -> float:
    began = time.perf_counter()
    go(some)
    return time.perf_counter() - began


def cost_of(checkpoint: Checkpoint) -> Cost:
    """What attention and head of a checkpoint add to a token; no weights are read."""
    from core.engines.weights import shapes

    about = HFEngine(checkpoint, Precision("cpu", "fp32")).config
    layers = [s for s in shapes(checkpoint.folder).values() if len(s) == 2]
    body = sum(a * b for a, b in layers if about.vocab_size not in (a, b))
    head = 0 if checkpoint.kind == "sentence" else about.vocab_size
    return cost(max(body, 1), about.num_hidden_layers, about.hidden_size, head)


def threads() -> int:
    """Threads of this process, which a training has to itself."""
    import torch

    return torch.get_num_threads()
