"""Per-sample gradients against LESS's loop, with and without their projection (B4, B4b, B4c)."""

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.suite.bench import Bench, Race
from benchmarks.suite.less import DRAWN, Adapted, Whole, exact, loop, projection_s
from benchmarks.suite.rows import Row
from core.domain import Sample
from core.engines import Sketch
from core.engines.gradients import gradients, sizes, sketched
from core.engines.hf import HFEngine
from core.engines.sketch import sketcher
from core.influence import adam_direction
from core.templates import Encoded

SKETCH = Sketch("sjlt", 8192, 0)
MAX_TOKENS = 2048
RANKS = (8, 128)  # that of the measured anchors, and the default of LESS and of the product
REFERENCE = {"fp32": ("float32", 4.0), "bf16": ("bfloat16", 3.0)}  # and by how much to beat it
MFU = {"bf16": 0.25, "fp32": 0.50}  # the first with AMX
CLOSE, ALIKE, SPREAD = 1e-5, 0.997, 1.15  # gates: see `right` and `kept`
SHORT, SKETCHED = 150, 16  # tokens and number of the samples that the sketch is tried on


def per_sample(bench: Bench) -> Iterator[Row]:
    """B4, B4b and B4c, at one rank of the adapter or at both."""
    for rank in RANKS[: bench.size(1, 2)]:
        with tempfile.TemporaryDirectory() as folder:
            yield from _of_rank(bench, Adapted(bench, Path(folder), rank))


def _of_rank(bench: Bench, adapted: Adapted) -> Iterator[Row]:
    pool = bench.samples(bench.size(6, 24))
    formats = [precision.dtype for precision in bench.precisions()]
    engines = {dtype: adapted.engine(dtype) for dtype in formats}
    some = engines[formats[0]].encoded(pool, "chat")[:4]
    gates = {dtype: right(adapted, engine, some) for dtype, engine in engines.items()}
    own = "bf16" if "bf16" in formats else "fp32"  # what the product takes by itself
    of_format: dict[str, Race] = {}
    for reference, ours in dict.fromkeys([("fp32", own), ("fp32", "fp32"), (own, own)]):
        engine, (gate, note) = engines[ours], gates[ours]
        race = of_format[ours] = _race(bench, adapted, engine, pool, reference)
        name = "b4" if (reference, ours) == ("fp32", own) else f"b4.{ours}"
        what = f"gradients in {ours}, rank {adapted.rank}, against one backward each in {reference}"
        yield bench.row(
            _named(name, adapted), what, race.ratio, REFERENCE[reference][1], gate,
            fraction=_share(engine, pool, race), note=note,
        )  # fmt: skip
        if name == "b4":
            row = _end_to_end(bench, adapted, engine, race, len(pool))
            yield replace(row, gate=row.gate and gate, drift=race.drift, valid=race.valid)
    for dtype, race in of_format.items():
        yield _of_ceiling(bench, adapted, engines[dtype], pool, race, gates[dtype][0])


def _race(
    bench: Bench, adapted: Adapted, engine: HFEngine, pool: Sequence[Sample], reference: str
) -> Race:
    """Ours with its sketch against the reference's loop without one, each on all samples."""
    import torch

    dtype = getattr(torch, REFERENCE[reference][0])
    model = adapted.peft if reference == "fp32" else copy.deepcopy(adapted.peft).to(dtype)
    encoded, moments = engine.encoded(pool, "chat"), adapted.moments(engine, dtype)
    loop(model, moments, encoded[:1])
    gradients(engine, pool[:1], "chat", SKETCH, True, MAX_TOKENS)
    return bench.race(
        lambda: gradients(engine, pool, "chat", SKETCH, True, MAX_TOKENS),
        lambda: loop(model, moments, encoded),
        bench.size(1, 3), dtype=engine.precision.dtype, warm=False,
    )  # fmt: skip


def _end_to_end(bench: Bench, adapted: Adapted, engine: HFEngine, race: Race, n: int) -> Row:
    """Row B4b: gradients and their projection, from the race of the gradients alone."""
    size = sum(sizes(engine.adapter))
    projection = projection_s(bench, size, SKETCH.width)
    ratio = (race.theirs_s / n + projection) / (race.ours_s / n)
    error, gate = kept(bench, adapted)
    return bench.row(
        _named("b4b", adapted), f"gradient and projection in {engine.precision.dtype}, rank"
        f" {adapted.rank}, {size:,} to {SKETCH.width:,} numbers, against fp32 and dense signs",
        ratio, 30.0, gate,
        note=f"{projection:.2f} s to project, by {min(size, DRAWN):,} rows of one block of 64;"
        f" error of cosines {error:.2f} of 1 / sqrt(k)",
    )  # fmt: skip


def _of_ceiling(
    bench: Bench, adapted: Adapted, engine: HFEngine, pool: Sequence[Sample], race: Race, gate: bool
) -> Row:
    """Row B4c: useful FLOPs over the ceiling, in one format."""
    dtype = engine.precision.dtype
    share = _share(engine, pool, race)
    note = f"{race.ceiling:,.0f} GFLOP/s"
    if dtype == "bf16" and not bench.amx:
        note += "; the target is that of AMX"
    row = bench.row(
        _named(bench.name("b4c", dtype), adapted), f"useful FLOPs over the {dtype} ceiling,"
        f" gradients of rank {adapted.rank}", share, MFU[dtype], gate, fraction=share, note=note,
    )  # fmt: skip
    return replace(row, drift=race.drift, valid=race.valid)


def _named(name: str, adapted: Adapted) -> str:
    return name if adapted.rank == RANKS[0] else f"{name}.r{adapted.rank}"


def right(adapted: Adapted, engine: HFEngine, encoded: Sequence[Encoded]) -> tuple[bool, str]:
    """Whether gradients are those of autograd in float64, one sample at a time; and how near.

    In float32 Adam's directions are within 1e-5. In bfloat16 the raw gradients have cosines of
    0.997 and more: the moments would make any two directions look alike.
    """
    wide = copy.deepcopy(adapted.peft).double()
    wanted = np.array([exact(wide, e).cpu().numpy() for e in encoded])
    adam = engine.precision.dtype == "fp32"
    if adam:
        wanted = adam_direction(wanted, *(m.cpu().numpy() for m in adapted.moments(engine)))
    found = sketched(engine, encoded, Whole(sizes(engine.adapter)), adam)[0].astype(float)
    if adam:
        error = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        return bool(error.max() <= CLOSE), f"relative error {error.max():.1e} of float64"
    cosine = (_unit(found) * _unit(wanted)).sum(1)
    return bool(cosine.min() >= ALIKE), f"cosine {cosine.min():.4f} of float64 at least, raw"


def kept(bench: Bench, adapted: Adapted) -> tuple[float, bool]:
    """The error of the sketch's cosines, times sqrt(k); and whether it is 1.15 at most."""
    engine = adapted.engine("fp32")
    encoded = [e for e in engine.encoded(bench.samples(80, 1), "chat") if len(e) < SHORT][:SKETCHED]
    whole = sketched(engine, encoded, Whole(sizes(engine.adapter)), False)[0]
    into = sketcher(SKETCH, sizes(engine.adapter), bench.device)
    small = sketched(engine, encoded, into, False)[0]
    pairs = np.triu_indices(len(encoded), 1)
    apart = (_unit(small) @ _unit(small).T - _unit(whole) @ _unit(whole).T)[pairs]
    error = float(np.sqrt(np.mean(apart**2) * SKETCH.width))
    return error, error <= SPREAD


def _unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))


def _share(engine: HFEngine, pool: Sequence[Sample], race: Race) -> float:
    """Useful FLOPs over what the ceiling would have done meanwhile."""
    return flops(engine, engine.encoded(pool, "chat")) / race.ours_s / (race.ceiling * 1e9)


def flops(engine: HFEngine, encoded: Sequence[Encoded]) -> float:
    """Useful FLOPs of a gradient: sum of 4 P T + 6 L d T^2 + 4 d V R + 6 P_lora T."""
    stack = engine.stack
    assert stack is not None, "the benchmark's model has one"
    matrices = [m for x in stack.layers for m in (x.qkv, x.out, x.gate_up, x.down)]
    body, vocabulary = sum(m.weight.numel() for m in matrices), engine.vocabulary
    across = len(stack.layers) * stack.heads * stack.width
    t = np.array([len(e) for e in encoded], float)
    r = np.array([e.scored.sum() for e in encoded], float)
    lora = sum(sizes(engine.adapter))
    head = 4 * len(stack.norm) * vocabulary * r
    return float((4 * body * t + 6 * across * t**2 + head + 6 * lora * t).sum())


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "b4": per_sample,
    "b4b": per_sample,
    "b4c": per_sample,
}
