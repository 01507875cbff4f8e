"""One step of sampling against its products alone, and top-p against a sort."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suite.bench import Bench, Row
from benchmarks.suite.drawn import (
    DRAWN,
    LIKELY,
    TEMPERATURE,
    TOP_P,
    K,
    asked_of,
    chi_square,
    judged,
    warped,
)
from core.engines.decoding import Decoder, Decoding
from core.engines.draws import draw, nucleus

if TYPE_CHECKING:
    import torch

STEPS = 4  # of one call
BEFORE = 24  # tokens that the answers have when the step is measured


def of_the_roof(bench: Bench) -> Iterator[Row]:
    """B3b: the products of a decoding step over the whole step, and where the rest goes."""
    import torch

    for precision in bench.precisions():
        engine = bench.engine(precision.dtype)
        if engine.decoder is None:
            raise AssertionError("the model does not take the fast path")
        asked = asked_of(bench, engine, bench.size(16, 32))
        growing = grown(engine.decoder, asked)
        gate, told = judged(engine, asked[:: max(1, len(asked) // 8)])
        race = bench.race(
            partial(steps, growing), partial(products, growing), bench.size(2, 3),
            dtype=precision.dtype,
        )  # fmt: skip
        with torch.inference_mode():
            logits = list(logits_and_keys(growing, torch.arange(len(growing.rows))))
        others = {"attention": partial(attentions, growing), "draws": partial(draws, logits)}
        parts = {name: bench.seconds(work) / race.ours_s for name, work in others.items()}
        rest = 1 - race.ratio - sum(parts.values())
        shares = [("products", race.ratio), *parts.items(), ("rest", rest)]
        note = ", ".join(f"{name} {share:.0%}" for name, share in shares)
        rows, rate = len(growing.rows), len(growing.rows) * STEPS / race.ours_s
        what = f"products over the whole step, {rows} rows in {precision.dtype}"
        yield bench.row(
            bench.name("b3b", precision.dtype), what, race.ratio, 0.45, gate,
            fraction=race.ratio, note=f"{rate:,.0f} tokens/s; {note}; {told}",
        )  # fmt: skip


def grown(decoder: Decoder, asked: list[list[int]]) -> Decoding:
    """K answers of some tokens to each prompt."""
    import torch

    with torch.inference_mode():
        growing = Decoding(decoder, asked, K)
        for t in range(BEFORE):
            step(growing, t)
    return growing


def step(growing: Decoding, t: int) -> None:
    """Draw a token of every row, and read it."""
    import torch

    keys = torch.arange(len(growing.rows), device=growing.x.device)
    found = [draw(z, k, t, TEMPERATURE, TOP_P) for z, k in logits_and_keys(growing, keys)]
    growing.step(torch.cat(found), np.ones(len(growing.rows), bool))


def logits_and_keys(
    growing: Decoding, keys: "torch.Tensor"
) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
    """Logits, some rows after the other, each with their keys."""
    start = 0
    for z in growing.logits():
        yield z, keys[start : start + len(z)].to(z.device)
        start += len(z)


def steps(growing: Decoding) -> None:
    """Some steps."""
    import torch

    with torch.inference_mode():
        for t in range(STEPS):
            step(growing, t)


def products(growing: Decoding) -> None:
    """The same steps' products with weights, the head among them, and nothing else."""
    import torch

    with torch.inference_mode():
        x = growing.x.to(growing.stack.dtype)
        first = growing.stack.layers[0]
        inner = [x.new_ones(len(x), product.weight.shape[1]) for product in (first.out, first.down)]
        for _ in range(STEPS):
            for layer in growing.stack.layers:
                layer.qkv(x), layer.out(inner[0]), layer.gate_up(x), layer.down(inner[1])
            for _ in growing.logits():
                pass


def attentions(growing: Decoding) -> None:
    """The same steps' attention; what it looks up is not changed by it."""
    import torch

    stack, slots = growing.stack, len(growing.cache.lengths) * K
    with torch.inference_mode():
        q = torch.randn(slots, stack.heads, stack.width).to(growing.stack.norm)
        k, v = torch.randn(2, slots, stack.kv_heads, stack.width).to(growing.stack.norm)
        for _ in range(STEPS):
            for number, layer in enumerate(stack.layers):
                growing.cache.attend(number, layer.window, q, k, v)


def draws(parts: "Sequence[tuple[torch.Tensor, torch.Tensor]]") -> None:
    """The same steps' draws, from logits that are there."""
    for t in range(STEPS):
        for z, keys in parts:
            draw(z, keys, t, TEMPERATURE, TOP_P)


def without_a_sort(bench: Bench) -> Iterator[Row]:
    """B3c: exact top-p by rejection against transformers' sort."""
    import torch

    engine = bench.engine("fp32")
    if engine.decoder is None:
        raise AssertionError("the model does not take the fast path")
    growing = grown(engine.decoder, asked_of(bench, engine, 16))
    with torch.inference_mode():
        logits = torch.cat(list(growing.logits()))
    keys = torch.arange(len(logits), device=logits.device) * 7919
    same, chance = exact(logits)
    race = bench.race(
        lambda: draw(logits, keys, 0, TEMPERATURE, TOP_P), lambda: sorted_draw(logits)
    )
    what = f"a token of each of {len(logits)} rows of {logits.shape[1]:,} logits against a sort"
    note = f"nucleus {'equal' if same else 'DIFFERS'}, chi-square p = {chance:.2f}"
    yield bench.row("b3c", what, race.ratio, 6.0, same and chance > LIKELY, note=note)


def sorted_draw(logits: "torch.Tensor") -> "torch.Tensor":
    """As transformers draws: temperature, sort, cut, softmax, multinomial."""
    return warped(logits / TEMPERATURE).softmax(1).multinomial(1)


def exact(logits: "torch.Tensor") -> tuple[bool, float]:
    """Whether the nuclei of all rows are those of the sort; p of many draws from the first."""
    import torch

    z = logits.double() / TEMPERATURE
    kept = warped(z)
    same = torch.equal(nucleus(z.softmax(1), TOP_P) > 0, kept.isfinite())
    keys = torch.arange(DRAWN, device=logits.device)
    found = draw(logits[:1].expand(DRAWN, -1), keys, 1, TEMPERATURE, TOP_P).cpu().numpy()
    chances = kept[0].softmax(0).cpu().numpy()
    return same, chi_square(np.bincount(found, minlength=len(chances)), chances)
