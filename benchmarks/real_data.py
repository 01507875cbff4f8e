"""The methods on real data, embedded model: what each score says of where samples are from.

    python -m benchmarks.real_data [targeted] [answers] [trajectories] [medqa] [--data DIR]

The pool is 100 samples each of four sources (the first of each file), the query set 32 of
gsm8k_test. targeted: the AUC with which gradients, RDS+ and sentence embeddings separate the gsm8k
samples, and their share of the first 10 %. answers: ADG drawn twice, in other blocks, gives the
same texts; dispersion and anisotropy inside their bounds. trajectories: agreement (ARI) of S2L's
clusters with the sources. medqa: accuracy of the first answer letter, and the AUC of its entropy,
both with 95 % intervals.
Settings that differ from a method's defaults are printed.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from core import blocks, config, curves, pools, runs, store
from core.domain import Pool, RunSpec
from core.engines.hardware import choose
from core.executors import Serial
from core.measuring import Measuring
from core.methods import build
from core.progress import Progress
from core.recipe import Recipe
from core.selection import Selection, select
from core.signals import Signal
from core.store import pools as stored_pools

SOURCES = ("gsm8k_train.jsonl", "codealpaca.json", "alpaca_en_demo.json", "gpteacher_roleplay.json")
EACH, QUERIES, QUESTIONS, APART = 100, 32, 200, 6
POOL, QUERY, TARGET = "mixed-400", "gsm8k-queries", "gsm8k_train"
LIGHT: Mapping[str, Mapping[str, Any]] = {
    "gradient_similarity": {"warm_up_rank": 8, "warm_up_alpha": 32, "checkpoints": 1},
    "answer_divergence": {"max_new_tokens": 32},
    "loss_trajectory": {
        "proxy_adapter": "lora", "proxy_epochs": 1, "checkpoints": 4, "proxy_learning_rate": 2e-4,
        "clusters": 4,
    },
}  # fmt: skip


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--data", default=config.ROOT.parent / "shared" / "data", type=Path)
def main(names: tuple[str, ...], data: Path) -> None:
    """Run the parts that are named; see the module."""
    pools.import_files([data / name for name in SOURCES], POOL, limit=EACH)
    pools.import_files([data / "gsm8k_test.jsonl"], QUERY, "query", limit=QUERIES)
    for name in names or tuple(PARTS):
        click.echo(f"== {name}")
        PARTS[name](data)


def _select(method: str, pool: str = POOL, **params: Any) -> Selection:
    """Score, and rank the pool with the method's own policy under a tenth as the budget."""
    asked = {**LIGHT.get(method, {}), **params}
    default = build(method).model_dump()
    differing = {k: v for k, v in asked.items() if v != default[k]}
    click.echo(f"{method}: {', '.join(f'{k}={v}' for k, v in differing.items()) or 'defaults'}")
    query = QUERY if build(method, asked).needs_query() else ""
    run = runs.execute(RunSpec(pool, method, asked, query=query), Progress()).run
    click.echo(f"  {run.n_scored} of {run.n} samples scored in {run.seconds:.0f} s")
    policy = type(build(method)).policy
    return select(Recipe(pool=pool, method=method, run_id=run.run_id, policy=policy, budget="10%"))


def _sources(pool: str = POOL) -> np.ndarray:
    with store.connect() as con:
        ids = stored_pools.get_pool(con, pool).sample_ids
        return np.array([s.source for s in stored_pools.read_samples(con, pool, ids)])


def targeted(_: Path) -> None:
    """AUC of the score for the target's source, and the target's share of the first tenth."""
    ours = _sources() == TARGET
    for representation in ("gradients", "rds", "sentence"):
        made = _select("gradient_similarity", representation=representation)
        for column in ("similarity_max", "similarity_mean"):
            value = made.columns[column]
            known = np.isfinite(value)
            auc = curves.roc_auc(value[known], ours[known])
            first = np.argsort(-np.where(known, value, -np.inf), kind="stable")[: len(ours) // 10]
            click.echo(
                f"  {representation}, {column}: AUC {auc:.4f}, {TARGET} in the first 10 %:"
                f" {ours[first].mean():.3f}"
            )
        chosen = made.subset.chosen
        click.echo(f"  {representation}, {made.recipe.policy}: {ours[chosen].mean():.3f} of it")


def answers(_: Path) -> None:
    """The same seed gives the same texts; the geometry keeps its bounds."""
    made = _select("answer_divergence")
    method = build("answer_divergence", made.run.params)
    k = made.run.params["k"]
    d, i = made.columns["dispersion"], made.columns["anisotropy"]
    known = np.isfinite(d)
    inside = (d[known] >= 0) & (d[known] <= 1) & (i[known] >= 0) & (i[known] <= 1 - 1 / (k - 1))
    click.echo(f"  inside their bounds: {inside.sum()} of {known.sum()}")
    click.echo(f"  dispersion {d[known].mean():.4f}, anisotropy {i[known].mean():.4f} (means)")
    signal = method.needs()["answers"]
    with store.connect() as con:
        pool = stored_pools.get_pool(con, POOL)
    first = _texts(signal, pool, config.folder("blocks"))[::APART]
    few = replace(pool, sample_ids=pool.sample_ids[::APART])  # so in other blocks
    with tempfile.TemporaryDirectory() as scratch:
        again = _texts(signal, few, Path(scratch))
    click.echo(
        f"  every {APART}th sample drawn again from nothing, in other blocks:"
        f" {(first == again).sum()} of {first.size} texts equal"
    )


def _texts(signal: Signal, pool: Pool, blocks_in: Path) -> NDArray[Any]:
    """The answers of a pool, from the parts in a folder or measured into it."""
    precision = choose()
    work = Measuring(pool, None, "embedded", precision, 4096, Progress(), Serial(), blocks_in)
    return blocks.gather(work.measure(signal).folder, pool.sample_ids, "text")["text"]


def trajectories(_: Path) -> None:
    """Adjusted Rand index of the clusters and the sources."""
    from sklearn.metrics import adjusted_rand_score

    made = _select("loss_trajectory")
    group = made.scores.group
    known = np.isfinite(made.scores.value)
    click.echo(
        f"  ARI with the sources: {adjusted_rand_score(_sources()[known], group[known]):.3f}"
    )
    chosen = made.subset.chosen
    names, counts = np.unique(_sources()[chosen], return_counts=True)
    kept = dict(zip(names.tolist(), counts.tolist(), strict=True))
    click.echo(f"  chosen by {made.recipe.policy}: {kept}")


def medqa(data: Path) -> None:
    """Accuracy of the first answer letter and AUC of its entropy, with intervals."""
    pools.import_files([data / "medqa_test.jsonl"], "medqa", limit=QUESTIONS)
    for wording in ("plain", "fallback"):
        made = _select("answer_entropy", "medqa", wording=wording)
        correct = made.columns["correct"]
        known = np.isfinite(correct) & np.isfinite(made.columns["entropy"])
        right = correct[known] == 1
        low, high = curves.wilson(int(right.sum()), len(right))
        entropy = made.columns["entropy"][known]
        click.echo(
            f"  {wording}: {len(right)} of {QUESTIONS} answered with a letter, accuracy"
            f" {right.mean():.3f} ({low:.3f} to {high:.3f})"
        )
        auc = curves.roc_auc(-entropy, right)
        ends = curves.auc_interval(-entropy, right, np.random.default_rng(0))
        click.echo(f"  {wording}: AUC {auc:.3f} ({ends[0]:.3f} to {ends[1]:.3f})")


PARTS = {"targeted": targeted, "answers": answers, "trajectories": trajectories, "medqa": medqa}

if __name__ == "__main__":
    main()
