"""The demo: 160 samples written for this project, with 24 planted flaws, scored live.

All five methods and the baselines, under settings that let two cores finish in minutes: a small
adapter, short answers, one pass of the proxy. A real pool deserves the methods' own defaults.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import mapping, pools, runs, store
from core.domain import RunSpec
from core.executors import Executor
from core.methods import catalogue
from core.progress import Progress
from core.recipe import Recipe
from core.selection import select
from core.store import runs as stored
from core.store import views

FOLDER = Path(__file__).parent
QUERY = "demo-query"
SAMPLES = 160
SHOWN = 3
SETTINGS: Mapping[str, Any] = {
    "warm_up_fraction": 0.1,
    "warm_up_epochs": 2,
    "warm_up_learning_rate": 1e-3,
    "warm_up_rank": 8,
    "warm_up_alpha": 16,
    "warm_up_dropout": 0.0,
    "answer_divergence.max_new_tokens": 24,
    "answer_divergence.bins": 12,
    "gradient_similarity.checkpoints": 1,
    "loss_trajectory.proxy_epochs": 1,
    "loss_trajectory.proxy_learning_rate": 1e-3,
    "loss_trajectory.proxy_adapter": "lora",
    "loss_trajectory.checkpoints": 3,
    "loss_trajectory.clusters": 8,
}


def run(
    samples: int = SAMPLES, progress: Progress | None = None, executor: Executor | None = None
) -> list[stored.Run]:
    """Import the demo pool and its query set, score the pool with every method, make its maps."""
    progress = progress or Progress(quiet=True)
    name = "demo" if samples == SAMPLES else f"demo-{samples}"
    pools.import_files([FOLDER / "pool.jsonl"], name, limit=samples)
    pools.import_files([FOLDER / "query.jsonl"], QUERY, "query")
    spec = RunSpec(name, "", SETTINGS, query=QUERY)
    scored = [finished.run for finished in runs.execute_all(spec, progress, executor)]
    mapping.make_all(name, progress, executor)
    return scored


def report(scored: list[stored.Run]) -> str:
    """What each published method chooses first, as lines for the terminal."""
    lines = []
    for run in scored:
        card = catalogue()[run.method]
        if card.baseline:
            continue
        recipe = Recipe(
            pool=run.pool, method=run.method, run_id=run.run_id, policy=card.policy, budget="10%"
        )
        selection = select(recipe)
        rows = selection.subset.chosen[:SHOWN]
        with store.connect() as con:
            frame = views.previews(con, run.pool, rows.tolist())
        lines.append(
            f"\n{card.title}: {run.n_scored:,} of {run.n:,} samples scored;"
            f" first of the {len(selection.subset.chosen):,} that {card.policy} takes at 10 %"
        )
        for row, preview, source in zip(rows, frame["preview"], frame["source"], strict=True):
            value = selection.scores.value[row]
            lines.append(f"  {value:+.4f}  {source:10}  {preview[:72]}")
    return "\n".join(lines).lstrip()
