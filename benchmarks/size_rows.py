"""Ten million rows of scores, and how long the app's questions to them take.

    python -m benchmarks.size_rows FOLDER ROWS OUT

Rows are made straight in the store's own schema: nothing was measured. Each question is asked
`TIMES` times about other samples and thresholds; p50 and p95 in seconds.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from core import histograms, selection, store
from core.domain import content_hash
from core.policies.top import ranked
from core.recipe import Recipe
from core.rules import Range
from core.store import pools, standing, views
from core.store import runs as stored

POOL = "rows"
TIMES = 20
PAGE = 50
NAME = "left(sha256(range::VARCHAR), 20)"
DRAWN = "(hash(range * {}) % 1000003) / 1000003.0"
COLUMNS = {  # of a perplexity run
    "id_hash": "(hash(range) % 4503599627370496)::DOUBLE",
    "n_chars": "(100 + range % 900)::DOUBLE",
    "n_tokens": "(20 + range % 300)::DOUBLE",
    "base_nll": f"1 + 2 * {DRAWN.format(3)}",
    "base_entropy": f"1 + 2 * {DRAWN.format(7)}",
    "base_n_tokens": "(20 + range % 300)::DOUBLE",
    "base_over_long": "0.0::DOUBLE",
    "base_vocabulary": "49152.0::DOUBLE",
}


def make(n: int) -> str:
    """A pool of n samples and a run of it; the run's id."""
    run_id = content_hash(["rows", n])
    turns = '\'[["user", "Say \' || range || \'"], ["assistant", "It is \' || range || \'"]]\''
    scores = ", ".join(f"{sql} AS {name}" for name, sql in COLUMNS.items())
    with store.connect(write=True) as con:
        con.execute(
            f"INSERT INTO samples SELECT '{POOL}', range, {NAME}, 'source ' || range % 7, 2,"  # noqa: S608
            " 20, 'Say ' || range, '{}' FROM range(?)",
            [n],
        )
        con.execute(
            f"INSERT INTO texts SELECT '{POOL}', range, {NAME}, {turns}, '', '' FROM range(?)",  # noqa: S608
            [n],
        )
        con.execute(f"INSERT INTO pools VALUES ('{POOL}', 'pool', 'print', ?, now())", [n])  # noqa: S608
        con.execute(
            f"CREATE TABLE {stored.scores_table(run_id)} AS SELECT range::INTEGER AS position,"  # noqa: S608
            f" {NAME} AS sample_id, exp({COLUMNS['base_nll']}) AS value, NULL::INTEGER AS group_no,"
            f" NULL::VARCHAR AS reason, {scores}, exp({COLUMNS['base_nll']}) AS perplexity"
            f" FROM range({n})"
        )
        con.execute(
            "INSERT INTO runs VALUES (?, ?, 'print', 'perplexity', '{}', '{}', ?, ?, 0, now())",
            [run_id, POOL, n, n],
        )
    return run_id


def questions(run_id: str, n: int) -> dict[str, Callable[[int], Any]]:
    """What the app asks, by name; each takes the number of the time it is asked."""
    loaded = selection.load(run_id)
    rng = np.random.default_rng(0)
    recipe = Recipe(pool=POOL, method="perplexity", run_id=run_id, budget="10%")
    value = loaded.scores({}).value
    kept = selection.select(recipe, loaded).subset.mask
    best = ranked(value, TIMES * PAGE)

    def counts(k: int) -> Any:
        rule = Range(column="base_nll", high=1.2 + 0.08 * k)
        return selection.select(
            recipe.model_copy(update={"rules": (rule,)}), loaded
        ).subset.counts()

    def page(k: int) -> Any:
        with store.connect() as con:
            return views.previews(con, POOL, best[k * PAGE : (k + 1) * PAGE].tolist())

    def one(k: int) -> Any:
        sample_id = loaded.ids[int(rng.integers(n))]
        with store.connect() as con:
            return pools.read_samples(con, POOL, [sample_id])

    def stands(k: int) -> Any:
        with store.connect() as con:
            return standing.standings(con, POOL, run_id, int(rng.integers(n)), ["base_nll"])

    return {
        "counts of a recipe with a new threshold": counts,
        "a histogram of scores, all and kept": lambda k: histograms.histogram(value, kept),
        "the best samples in order": lambda k: ranked(value, (k + 1) * PAGE),
        "a page of ranked samples": page,
        "one sample, whole": one,
        "where one sample stands": stands,
    }


def main(folder: Path, n: int, out: Path) -> None:
    """Make, ask and tell."""
    os.environ["SFTLENS_CACHE"] = str(folder / f"rows-{n}")
    began = time.perf_counter()
    run_id = make(n)
    found: dict[str, Any] = {"rows": n, "made_s": time.perf_counter() - began}
    click.echo(f"{n:,} rows made in {found['made_s']:.1f} s")
    began = time.perf_counter()
    asked = questions(run_id, n)
    found["opened_s"] = time.perf_counter() - began
    click.echo(f"opened in {found['opened_s']:.1f} s")
    for name, question in asked.items():
        took = []
        for k in range(TIMES):
            began = time.perf_counter()
            question(k)
            took.append(time.perf_counter() - began)
        found[name] = {
            "p50_s": float(np.quantile(took, 0.5)),
            "p95_s": float(np.quantile(took, 0.95)),
        }
        p50, p95 = found[name].values()
        click.echo(f"{name:42} p50 {p50:.3f} s, p95 {p95:.3f} s")
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    click.echo(f"at most {found['peak_gb']:.2f} GB")
    out.write_text(json.dumps(found), "utf8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
