"""Does bf16 rank samples as fp32 does? On real samples, under the embedded model.

    python -m benchmarks.fidelity [--samples 96] [--data ../shared/data]

Prints Spearman's rank correlation between the formats for NLL and entropy under the base model
and for both differentials, and how much of the selected 10 % both formats share. The differentials
twice: of one calibrated checkpoint measured in both formats, and of whole runs, where each format
measures the checkpoint that it calibrated. The warm-up is differential entropy's default.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from core import config
from core.calibration import calibrate
from core.domain import FloatN, Sample
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.methods import build
from core.models import Checkpoint, resolve
from core.policies import Candidates
from core.policies.budget import Budget
from core.policies.top import Top
from core.progress import Progress
from core.records import Read, read
from core.signals import TokenStats

SOURCES = ("gsm8k_train.jsonl", "codealpaca.json", "alpaca_en_demo.json", "gpteacher_roleplay.json")
LONGEST = 220  # tokens; keeps a run of 96 samples near a minute on two cores
MAX_TOKENS = 4096
BUDGET = Budget.parse("10%")

Columns = Mapping[str, FloatN]


def real_samples(data: Path, n: int, model: Checkpoint) -> list[Sample]:
    """At least n samples of at most `LONGEST` tokens, as many from each source, spread over it."""
    engine = HFEngine(model, Precision("cpu", "fp32"))
    share = -(-n // len(SOURCES))
    chosen: list[Sample] = []
    for name in SOURCES:
        found = [r.sample for r in read(data / name) if isinstance(r, Read)]
        spread = found[:: max(1, len(found) // (4 * share))]
        short = engine.lengths(spread, "chat") <= LONGEST
        chosen += [s for s, fits in zip(spread, short, strict=True) if fits][:share]
    return chosen


def measure(model: Checkpoint, pool: Sequence[Sample], dtype: str) -> dict[str, Any]:
    """NLL, entropy, n_tokens, over_long of the pool under a checkpoint in a number format."""
    return TokenStats().measure(pool, HFEngine(model, Precision("cpu", dtype)), MAX_TOKENS, {})


def spearman(a: FloatN, b: FloatN) -> float:
    """Rank correlation; equal values share their mean rank."""
    return float(np.corrcoef(pd.Series(a).rank(), pd.Series(b).rank())[0, 1])


def compare(fp32: Columns, bf16: Columns, names: Sequence[str] = ("nll", "entropy")) -> Columns:
    """Spearman's correlation between two formats, by column."""
    return {name: spearman(fp32[name], bf16[name]) for name in names}


def calibrated(model: Checkpoint, pool: Sequence[Sample], dtype: str) -> Checkpoint:
    """The embedded model after the default warm-up of differential entropy on this pool."""
    by_id = {sample.sample_id: sample for sample in pool}
    signal = build("differential_entropy").needs()["calibrated"]
    assert signal.warm_up is not None
    return calibrate(
        model,
        signal.warm_up,
        signal.template,
        list(by_id),
        lambda ids: [by_id[i] for i in ids],
        Precision("cpu", dtype),
        MAX_TOKENS,
        Progress(),
    ).checkpoint


def differentials(base: Columns, tuned: Columns) -> dict[str, FloatN]:
    """Score a pool from the statistics of both checkpoints; the method's own columns."""
    x = {f"base_{name}": column for name, column in base.items()}
    x |= {f"calibrated_{name}": column for name, column in tuned.items()}
    x["calibrated_in_warm_up"] = np.zeros(len(base["nll"]))
    scores = build("differential_entropy").score(x)
    return {**scores.diagnostics, "value": scores.value}


@click.command(help=__doc__)
@click.option("--samples", default=96, show_default=True, type=click.IntRange(min=20))
@click.option("--data", default=config.ROOT.parent / "shared" / "data", type=Path)
def main(samples: int, data: Path) -> None:
    """Print the table; see the module."""
    model = resolve("embedded", Progress())
    pool = real_samples(data, samples, model)
    base = {dtype: measure(model, pool, dtype) for dtype in ("fp32", "bf16")}
    tokens = int(base["fp32"]["n_tokens"].sum())
    show(f"base model, {len(pool)} samples, {tokens:,} tokens", compare(base["fp32"], base["bf16"]))
    tuned = {dtype: calibrated(model, pool, dtype) for dtype in ("fp32", "bf16")}
    bf16 = differentials(base["bf16"], measure(tuned["bf16"], pool, "bf16"))
    for title, checkpoint in (
        ("one calibrated checkpoint", tuned["bf16"]),
        ("whole runs", tuned["fp32"]),
    ):
        fp32 = differentials(base["fp32"], measure(checkpoint, pool, "fp32"))
        show(title, compare(fp32, bf16, ("nll_drop", "entropy_drop")))
        ranked = [Candidates(c["value"], c["n_tokens"]) for c in (fp32, bf16)]
        picks = [set(Top().choose(c, BUDGET).rows.tolist()) for c in ranked]
        click.echo(f"  10 % selected: {len(picks[0] & picks[1])} of {len(picks[0])} shared")


def show(title: str, ranked: Columns) -> None:
    """Print one line per column."""
    click.echo(title)
    for name, rho in ranked.items():
        click.echo(f"  spearman {name:<13}{rho:.5f}")


if __name__ == "__main__":
    main()
