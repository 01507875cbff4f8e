"""How long each kind of work takes on this machine: one way of timing a kind, and all of them."""

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core import adapters, calibration
from core.domain import Sample
from core.engines import Pooling, Sampling, Sketch
from core.engines.hf import HFEngine
from core.estimates import Rates, two_rates
from core.executors import room
from core.footprint import adapted, adapter_weights
from core.progress import Progress
from core.signals import Answers, AnswerToken, Embedding, Gradient, Signal, TokenStats
from core.speed import WARM_UP, Bench, corpus
from core.training import train
from core.workload import Reader, trained, work

K, STEPS = 5, 16  # answers to a sample, and tokens of each, that are drawn to time sampling
RANKS = (8, 128)  # of the adapters whose gradients are timed: the demo's, the method's default
LAYERS = (-4, -3, -2)
GIVES = {  # what is timed -> the kinds of work whose rates come out
    "reading": ("reading",),
    "answer token": ("answer token",),
    "sampling": ("prompting", "sampling", "steps"),
    "pooling": ("pooling",),
    "gradients": ("gradients", "coordinates"),
    "training lora": ("training lora",),
    "training full": ("training full",),
    "sentence embedding": ("sentence embedding",),
}


@dataclass(frozen=True)
class Timed:
    """What came out of one kind: rates of work, and a line for people."""

    per_s: dict[str, float]
    shown: str
    ends: float = 0.0
    answer_bytes: float = 0.0


def measured(
    bench: Bench, kinds: Collection[str], how: str, told: Callable[[str, str], None]
) -> Rates:
    """Time these kinds, telling each as it is done."""
    began = time.perf_counter()
    bench.engine.lengths(corpus()[:1], "chat")
    if bench.checkpoint.folder:
        _ = bench.engine.model
    load_s = time.perf_counter() - began
    found: dict[str, Timed] = {}
    for kind in kinds:
        # what is measured is measured by processes of one thread; a training has all there are
        alone = nullcontext() if kind.startswith("training") else room.one_thread(bench.engine)
        with alone:
            found[kind] = TIMES[kind](bench)
        told(kind, found[kind].shown)
    drawn = found.get("sampling", Timed({}, ""))
    return replace(
        bench.blank(how),
        per_s={k: v for timed in found.values() for k, v in timed.per_s.items()},
        load_s=load_s,
        ends=drawn.ends,
        answer_bytes=drawn.answer_bytes,
    )


def _one(bench: Bench, signal: Signal) -> Timed:
    """A signal whose work is of one kind."""
    engine = bench.at(bench.precision.of(signal.steady))
    chosen, seconds = bench.timed(partial(_measure, signal, engine, bench.max_tokens))
    amounts = work(signal, chosen, bench.reader())
    return Timed(
        {k: v / seconds for k, v in amounts.items()}, _said(bench, signal, chosen, seconds)
    )


def _measure(signal: Signal, engine: Any, max_tokens: int, some: Sequence[Sample]) -> None:
    signal.measure(some, engine, max_tokens, {})


def _said(bench: Bench, signal: Signal, chosen: Sequence[Sample], seconds: float) -> str:
    counter = bench.reader().counter
    if isinstance(signal, Embedding):
        tokens = counter.text(chosen, signal.text)
    elif isinstance(signal, AnswerToken):
        tokens = counter.asked(chosen, signal.wording)
    else:
        tokens = counter.whole(chosen, signal.template)
    return f"{tokens.sum() / seconds:,.0f} tokens/s, {len(chosen) / seconds:,.1f} samples/s"


def _pooling(bench: Bench) -> Timed:
    depth = getattr(getattr(bench.engine, "config", None), "num_hidden_layers", 12)
    layers = tuple(k for k in LAYERS if -k <= depth + 1)
    return _one(bench, Embedding(text="conversation", pooling=Pooling("content", layers)))


def _sampling(bench: Bench) -> Timed:
    """Three rounds: prompts and one token, then more tokens, of many samples and of few."""

    def drawn(n: int, most: int) -> tuple[dict[str, Any], float]:
        signal = Answers(sampling=Sampling(K, 1.4, 0.9, most, 42))
        engine = bench.at(bench.precision.of(signal.steady))
        began = time.perf_counter()
        found = signal.measure(corpus()[:n], engine, bench.max_tokens, {})
        return found, time.perf_counter() - began

    drawn(2, 2)
    _, probe = drawn(4, 3)
    n = int(np.clip(8 * bench.share_s / max(probe, 1e-6), 8, 24))
    _, first = drawn(n, 1)
    many, all_s = drawn(n, STEPS + 1)
    few, few_s = drawn(2, STEPS + 1)
    counter = bench.reader()
    prompts = [_prompt_work(counter, k) for k in (n, 2)]
    prompting = prompts[0] / first
    tokens = [int(found["n_tokens"].sum()) - K * k for found, k in ((many, n), (few, 2))]
    spent = [max(all_s - first, 1e-6), max(few_s - prompts[1] / prompting, 1e-6)]
    sampling, steps = two_rates((tokens[0], STEPS, spent[0]), (tokens[1], STEPS, spent[1]))
    return Timed(
        {"prompting": prompting, "sampling": sampling, "steps": steps},
        f"{tokens[0] / spent[0]:,.0f} tokens/s, {K * n} answers at once",
        int(many["ended"].sum()) / max(int(many["n_tokens"].sum()), 1),
        many["text"].dtype.itemsize / (STEPS + 1),
    )


def _prompt_work(by: Reader, n: int) -> float:
    amounts = work(Answers(sampling=Sampling(K, 1.4, 0.9, 1, 42)), corpus()[:n], by)
    return amounts["prompting"]


def _gradients(bench: Bench) -> Timed:
    """At two ranks of the adapter, so that what its size costs is told from what tokens cost."""
    engine, found, shown = bench.engine, [], ""
    for rank in RANKS:
        weights = adapter_weights(bench.checkpoint.folder, rank)
        if weights:
            engine.adapter = adapters.invented(engine.model, adapted(bench.checkpoint.folder), rank)
        signal = Gradient(sketch=Sketch("sjlt", 8192, 0))
        go = partial(_measure, signal, engine, bench.max_tokens)
        chosen, seconds = bench.timed(go)
        amounts = work(signal, chosen, bench.reader(weights=weights))
        found.append((amounts["gradients"], amounts["coordinates"], seconds))
        shown = f"{_said(bench, signal, chosen, seconds)} (Adam and sketch, rank {rank})"
    tokens, coordinates = two_rates(*found)
    return Timed({"gradients": tokens, "coordinates": coordinates}, shown)


def _training(adapter: Any) -> Callable[[Bench], Timed]:
    def timed(bench: Bench) -> Timed:
        warm_up = replace(WARM_UP, adapter=adapter, rank=RANKS[-1])
        engine = HFEngine(bench.checkpoint, bench.precision)
        model, warm_up = calibration.trainable(bench.checkpoint, warm_up, bench.precision)
        products = calibration.products(warm_up, bench.precision)
        quiet = Progress(quiet=True)

        def go(some: Sequence[Sample]) -> None:
            usable = [e for e in engine.encoded(some, "chat") if len(e) <= engine.limit]
            with tempfile.TemporaryDirectory() as nowhere:
                train(model, usable, warm_up, products, Path(nowhere), quiet)

        chosen, seconds = bench.timed(go)
        amount = trained(chosen, "chat", bench.reader())
        tokens = bench.reader().counter.whole(chosen, "chat").sum()
        shown = f"{tokens / seconds:,.0f} tokens/s in batches of 8 ({products.dtype})"
        return Timed({f"training {adapter}": amount / seconds}, shown)

    return timed


TIMES: dict[str, Callable[[Bench], Timed]] = {
    "reading": lambda b: _one(b, TokenStats()),
    "answer token": lambda b: _one(b, AnswerToken()),
    "sampling": _sampling,
    "pooling": _pooling,
    "gradients": _gradients,
    "training lora": _training("lora"),
    "training full": _training("full"),
    "sentence embedding": lambda b: _one(b, Embedding(text="conversation")),
}


def timed_for(kinds: Collection[str]) -> Iterator[str]:
    """What must be timed so that the rates of these kinds of work come out."""
    return (name for name, gives in GIVES.items() if set(gives) & set(kinds))
