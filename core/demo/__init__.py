"""The demo: 160 samples written for this project, with 24 planted flaws, scored live."""

from pathlib import Path

import numpy as np

from core import pools, runs, store
from core.domain import RunSpec
from core.progress import Progress
from core.recipe import Recipe
from core.selection import select
from core.store import runs as stored
from core.store import views

FOLDER = Path(__file__).parent
METHODS = ("differential_entropy",)
SAMPLES = 160
SHOWN = 10


def run(samples: int = SAMPLES, progress: Progress | None = None) -> stored.Run:
    """Import the demo pool and its query set, and score the pool; returns the last run."""
    progress = progress or Progress(quiet=True)
    name = "demo" if samples == SAMPLES else f"demo-{samples}"
    pools.import_files([FOLDER / "pool.jsonl"], name, limit=samples)
    pools.import_files([FOLDER / "query.jsonl"], "demo-query", "query")
    finished = [runs.execute(RunSpec(name, method), progress) for method in METHODS]
    return finished[-1].run


def report(run: stored.Run) -> str:
    """The ten samples that a run ranks first and last, as lines for the terminal."""
    recipe = Recipe(pool=run.pool, method=run.method, run_id=run.run_id, budget="100%")
    selection = select(recipe)
    order = selection.subset.chosen
    ends = [("chosen first", order[:SHOWN]), ("chosen last", order[len(order) - SHOWN :])]
    lines = [f"{run.method}: {run.n_scored:,} of {run.n:,} samples scored"]
    for title, rows in ends:
        with store.connect() as con:
            frame = views.previews(con, run.pool, rows.tolist())
        lines.append(f"\n{title}")
        for row, (value, preview, source) in zip(
            rows,
            zip(selection.scores.value[rows], frame["preview"], frame["source"], strict=True),
            strict=True,
        ):
            rank = int(np.flatnonzero(order == row)[0]) + 1
            lines.append(f"{rank:>5}  {value:+.4f}  {source:10}  {preview[:72]}")
    return "\n".join(lines)
