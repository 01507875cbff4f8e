"""Reading: NLL and entropy, the head alone, and many checkpoints."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fidelity import spearman
from benchmarks.suite import loops, machine
from benchmarks.suite.bench import Bench, Race, Row
from core import speed
from core.domain import Sample
from core.engines import tokens
from core.engines.batches import token_batches
from core.engines.fused import head_stats
from core.engines.hf import HFEngine
from core.engines.logits import Head
from core.engines.reading import first_asked
from core.engines.weights import load_model
from core.templates import Encoded

MAX_TOKENS = 4096
CLOSE, RANKED = 5e-5, 0.999  # gates in fp32 and in bf16
TARGETS = {"b1": {"fp32": 1.3, "bf16": 5.5}, "b1c": {"fp32": 0.60, "bf16": 0.40}}
Loop = Callable[[Any, HFEngine, Sequence[Encoded]], loops.Means]
HEAD_ROWS = 1024  # response positions of b1d


def plain_model(engine: HFEngine, dtype: str = "float32") -> Any:
    """The model as transformers loads it, for the loops; float32 as the authors have it."""
    return load_model(engine.checkpoint, engine.precision.device, dtype)


@dataclass(frozen=True)
class Read:
    """Our reading raced against a loop in one number format. `share`: of the ceiling's FLOPs."""

    dtype: str
    race: Race
    share: float
    gate: bool
    note: str


def raced(bench: Bench, loop: Loop) -> Iterator[Read]:
    """NLL and entropy of a corpus as the product measures them, against a loop in float32."""
    pool = bench.samples(bench.size(24, 64))
    reference = plain_model(bench.engine("fp32"))
    for precision in bench.precisions():
        engine = bench.engine(precision.dtype)
        encoded = engine.encoded(pool, "chat")
        right = loop(reference, engine, encoded)
        gate, note = judged(bench, measured(engine, pool), right, precision.dtype)
        race = bench.race(
            partial(measured, engine, pool),
            partial(loop, reference, engine, encoded),
            bench.size(1, 3),
            dtype=precision.dtype,
            warm=False,
        )
        share = useful_flops(engine, encoded) / race.ours_s / (race.ceiling * 1e9)
        yield Read(precision.dtype, race, share, gate, note)


def reading(bench: Bench) -> Iterator[Row]:
    """B1 and B1c: NLL and entropy against the reference loop, and over the ceiling."""
    for x in raced(bench, loops.one_by_one):
        what = f"NLL and entropy in {x.dtype} against one sample at a time"
        target = TARGETS["b1"][x.dtype]
        name = bench.name("b1", x.dtype)
        yield bench.row(name, what, x.race.ratio, target, x.gate, fraction=x.share, note=x.note)
        told = f"{x.race.ceiling:,.0f} GFLOP/s; a start that all rows of a batch share counts once"
        what = f"useful FLOPs over the {x.dtype} ceiling"
        target = TARGETS["b1c"][x.dtype]
        name = bench.name("b1c", x.dtype)
        yield bench.row(name, what, x.share, target, x.gate, fraction=x.share, note=told)


def against_padded(bench: Bench) -> Iterator[Row]:
    """B1b: NLL and entropy against padded batches of eight through transformers."""
    for x in raced(bench, loops.padded):
        what = f"NLL and entropy in {x.dtype} against padded batches of {loops.PADDED}"
        name = bench.name("b1b", x.dtype)
        yield bench.row(name, what, x.race.ratio, 9.0, x.gate, fraction=x.share, note=x.note)


def measured(engine: HFEngine, pool: Sequence[Sample]) -> loops.Means:
    """NLL and entropy of each sample, (n, 2), as the product does it; tokenised anew."""
    tokens.forget()
    found = engine.token_stats(pool, "chat", MAX_TOKENS)
    return np.stack([found["nll"], found["entropy"]], 1)


def judged(bench: Bench, ours: loops.Means, right: loops.Means, dtype: str) -> tuple[bool, str]:
    """Whether numbers are right: close in fp32; in bf16 ranked as in fp32, on real texts."""
    if dtype == "fp32":
        error = np.abs(ours - right).max(0)
        return bool((error <= CLOSE).all()), f"error at most {error[0]:.1e} and {error[1]:.1e}"
    pool = speed.corpus()[:: bench.size(4, 1)]
    both = [measured(bench.engine(each), pool) for each in ("fp32", "bf16")]
    rho = [spearman(both[0][:, k], both[1][:, k]) for k in range(2)]
    told = f"rank correlation with fp32 on {len(pool)} demo samples {rho[0]:.5f} and {rho[1]:.5f}"
    return min(rho) >= RANKED, told


def useful_flops(engine: HFEngine, encoded: Sequence[Encoded]) -> float:
    """2 P T + 2 L d T^2 + 2 d V R, summed over samples; P without the head. A start of T_s tokens
    that a batch shares counts once in P T.
    """
    config = engine.config
    d, layers, v = config.hidden_size, config.num_hidden_layers, config.vocab_size
    head = engine.model.get_output_embeddings().weight.numel()
    body = engine.model.num_parameters() - head * (1 if config.tie_word_embeddings else 2)
    lengths = np.array([len(e) for e in encoded], np.int64)
    asked = sum(int(e.scored[1:].sum()) for e in encoded)
    spared = 0
    for batch in token_batches(np.arange(len(encoded)), lengths, engine.batch_tokens):
        rows = [encoded[i] for i in batch]
        start = min(engine.shared_start([e.ids for e in rows]), first_asked(rows))
        spared += start * (len(rows) - 1)
    return float(
        2 * body * (lengths.sum() - spared)
        + 2 * layers * d * (lengths**2).sum()
        + 2 * d * v * asked
    )


def head(bench: Bench) -> Iterator[Row]:
    """B1d: the head with NLL and entropy in vocabulary blocks, against the logits in memory."""
    import torch

    for precision in bench.precisions():
        engine = bench.engine(precision.dtype)
        weight = engine.model.get_output_embeddings().weight.detach()
        chance = torch.Generator().manual_seed(0)
        hidden = torch.randn(HEAD_ROWS, weight.shape[1], generator=chance).to(weight)
        targets = torch.randint(len(weight), (HEAD_ROWS,), generator=chance).to(weight.device)

        def ours() -> Any:
            return torch.stack(head_stats(Head(weight), hidden, targets))  # noqa: B023

        def theirs() -> Any:
            logits = (hidden @ weight.T).float()  # noqa: B023
            log_p, p = logits.log_softmax(-1), logits.softmax(-1)
            nll = -log_p.gather(1, targets[:, None])[:, 0]  # noqa: B023
            return torch.stack([nll, -(p * log_p).sum(-1)])

        with torch.inference_mode():
            error = float((ours() - theirs()).abs().max())
            race = bench.race(ours, theirs, bench.size(3, 7), dtype=precision.dtype)
            mib = [machine.peak_mib(work, bench.device) for work in (ours, theirs)]
        floor_s = 2 * hidden.numel() * len(weight) / (race.ceiling * 1e9)
        gate = error <= (1e-4 if precision.dtype == "fp32" else 0.05) and mib[0] <= mib[1] / 20
        note = f"{mib[0]:.0f} MiB at most, {mib[1]:,.0f} MiB there; error {error:.0e}"
        what = f"head, NLL and entropy of {HEAD_ROWS:,} positions in {precision.dtype}"
        name = bench.name("b1d", precision.dtype)
        share = floor_s / race.ours_s
        yield bench.row(name, what, race.ratio, 3.7, gate, fraction=share, note=note)


def checkpoints(bench: Bench) -> Iterator[Row]:
    """B5: three checkpoints of a model over three times one, texts tokenised once."""
    pool = bench.samples(bench.size(12, 32))
    engine = bench.engine(bench.counts)
    others = [HFEngine(engine.checkpoint, engine.precision) for _ in range(2)]
    each = [measured(e, pool) for e in (engine, *others)]

    def together() -> NDArray[Any]:
        tokens.forget()
        return np.stack([e.token_stats(pool, "chat", MAX_TOKENS)["nll"] for e in (engine, *others)])

    gate = bool(np.array_equal(together(), np.stack([m[:, 0] for m in each])))
    race = bench.race(
        lambda: measured(engine, pool), together, bench.size(3, 5), dtype=bench.counts, warm=False
    )
    what = f"3 checkpoints over 3 times one, {len(pool)} samples in {bench.counts}"
    yield bench.row("b5", what, race.ratio / 3, 1.03, gate, at_most=True)


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "b1": reading,
    "b1b": against_padded,
    "b1c": reading,
    "b1d": head,
    "b5": checkpoints,
}
