"""Sampling: k answers to each prompt, the step that draws a token of each, and top-p alone.

B3's reference is ADG's loop: transformers' `generate` for one instruction after the other, with
`num_return_sequences=k`. Both sides draw a fixed number of tokens and may not stop before it, so
that every token counted is a drawn one; ours is one block as the product cuts it, theirs a few of
its prompts, those of about the mean length. Loading and laying out the weights is not counted.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.bench import Bench, Row
from benchmarks.suite.decoding import of_the_roof, without_a_sort
from benchmarks.suite.drawn import (
    NO_ENDS,
    TEMPERATURE,
    TOP_P,
    Asked,
    K,
    asked_of,
    generated,
    judged,
)
from core.engines import Sampling
from core.engines.hardware import DTYPES
from core.engines.hf import HFEngine
from core.engines.sampling import growing_of, sample
from core.engines.weights import load_model
from core.signals import Answers

TARGETS = {"fp32": 15.0, "bf16": 10.0}  # against the reference in the same format


def sampled(bench: Bench) -> Iterator[Row]:
    """B3: sampled tokens a second against `generate` for one instruction at a time."""
    new = bench.size(16, 128)
    sampling = Sampling(K, TEMPERATURE, TOP_P, new, 0)
    for precision in bench.precisions():
        engine = bench.engine(precision.dtype)
        reference = load_model(engine.checkpoint, bench.device, DTYPES[precision.dtype])
        asked = asked_of(bench, engine, bench.size(16, Answers(sampling=sampling).per_block))
        mean = np.mean([len(ids) for ids in asked])
        nearest = np.argsort([abs(len(ids) - mean) for ids in asked], kind="stable")
        few = [asked[i] for i in nearest[: bench.size(1, 2)]]
        gate, told = judged(engine, asked[:: max(1, len(asked) // 8)])
        race = bench.race(
            partial(ours, engine, asked, sampling),
            partial(theirs, reference, few, new),
            bench.size(1, 2),
            dtype=precision.dtype,
            units=(len(asked), len(few)),
            warm=False,
        )
        ours_rate, their_rate = (
            K * new * len(rows) / seconds
            for rows, seconds in ((asked, race.ours_s), (few, race.theirs_s))
        )
        what = f"{K} answers of {new} tokens to {len(asked)} prompts in {precision.dtype}"
        note = f"{ours_rate:,.0f} against {their_rate:,.1f} tokens/s; {told}"
        name = bench.name("b3", precision.dtype)
        yield bench.row(name, what, race.ratio, TARGETS[precision.dtype], gate, note=note)


def ours(engine: HFEngine, asked: Asked, sampling: Sampling) -> None:
    """One block of answers as the product draws them, from prompts to tokens."""
    keys = np.arange(len(asked) * sampling.k) * 7919
    found = sample(growing_of(engine, asked, sampling.k), keys, sampling, NO_ENDS)
    assert (found.n_tokens == sampling.max_new_tokens).all()


def theirs(model: Any, asked: Asked, new: int) -> None:
    """ADG's loop."""
    for ids in asked:
        found = generated(
            model, ids, new, do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0,
            num_return_sequences=K, min_new_tokens=new,
        )  # fmt: skip
        assert found.shape == (K, len(ids) + new)


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "b3": sampled,
    "b3b": of_the_roof,
    "b3c": without_a_sort,
}
