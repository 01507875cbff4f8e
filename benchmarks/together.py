"""Scorer, app and command line on one store at once: errors shown, writes lost, time to read.

    python -m benchmarks.together [--minutes 5] [--samples 20000] [--bulk 1000000]

Two app processes have four sessions each that ask what pages ask; in the first one a person judges
samples and saves recipes meanwhile. A third process does that too, and imports and scores a pool
that grows. Nobody may see an error, and what was saved must be there. p95 of a read: under 0.3 s.
With `--bulk` a fourth process imports so many samples meanwhile, once.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

TARGET_S = 0.3
POOL, GROWING, BULK = "together", "growing", "bulk"
READERS = 4  # sessions of an app process


@dataclass(frozen=True)
class Together:
    """What happened: seconds of every read, errors shown, and writes by kind, made and found."""

    reads: list[float]
    errors: list[str]
    made: dict[str, int]
    found: dict[str, int]

    def lines(self) -> list[str]:
        """For a person."""
        p50, p95 = (float(np.quantile(self.reads, q)) for q in (0.5, 0.95))
        told = ", ".join(f"{self.found[k]:,} of {n:,} {k}" for k, n in self.made.items())
        return [
            f"{len(self.reads):,} reads: p50 {p50:.3f} s, p95 {p95:.3f} s (target {TARGET_S} s),"
            f" longest {max(self.reads):.2f} s",
            f"errors shown: {len(self.errors)}",
            f"writes found: {told}",
            *sorted(set(self.errors))[:5],
        ]


@click.command(help=__doc__)
@click.option("--minutes", default=5.0, show_default=True)
@click.option("--samples", "n", default=20_000, show_default=True)
@click.option("--bulk", default=0, help="Samples of a long import meanwhile.")
def main(minutes: float, n: int, bulk: int) -> None:
    """Measure; see the module."""
    with tempfile.TemporaryDirectory() as folder:
        done = together(Path(folder), 60 * minutes, n, bulk=bulk)
    for line in done.lines():
        click.echo(line)
    if done.errors or done.found != done.made:
        raise SystemExit(1)


def together(folder: Path, seconds: float, n: int, apps: int = 2, bulk: int = 0) -> Together:
    """Make a store in the folder and let all of them at it for so long."""
    os.environ["SFTLENS_CACHE"] = str(folder)
    _prepare(n)
    roles = [("app", READERS, k == 0, f"app {k}") for k in range(apps)]
    roles += [("cli", 0, True, "cli"), *[("bulk", 0, False, str(bulk))] * (bulk > 0)]
    children = [_started(*role, seconds) for role in roles]
    for child in children:  # all of them have read their libraries
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [json.loads(child.communicate()[0] or '{"errors": ["died"]}') for child in children]
    made: dict[str, int] = {}
    for own in told:
        for kind, many in own.get("made", {}).items():
            made[kind] = made.get(kind, 0) + many
    reads = [x for own in told for x in own.get("reads", [])]
    found = _found()
    if not bulk:
        del found["samples of a long import"]
    return Together(reads, [e for own in told for e in own["errors"]], made, found)


def _prepare(n: int) -> None:
    from benchmarks import invented, stores
    from core.domain import id_hash

    world = invented.latent(n)
    pool = stores.add_pool(POOL, "pool", world)
    query = stores.add_pool(f"{POOL}-query", "query", invented.latent(4, seed=7))
    method, params, x = next(stores.measured(world))
    stores.add_run(pool, query, method, params, x, id_hash(pool.sample_ids), world)


def _started(
    role: str, readers: int, writes: bool, name: str, seconds: float
) -> "subprocess.Popen[str]":
    words = [role, str(readers), str(int(writes)), name, str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.suite.at_once", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _found() -> dict[str, int]:
    """Writes that are in the store, by kind."""
    from core import store
    from core.store import recipes, reviews, views

    with store.connect() as con:
        pools: dict[str, Any] = dict(views.pools(con)[["pool", "n"]].itertuples(index=False))
        scored = views.runs(con)["pool"].eq(GROWING).sum()
        return {
            "verdicts": len(reviews.reviews(con, POOL)),
            "recipes": len(recipes.saved(con, POOL)),
            "imported samples": int(pools.get(GROWING, 0)),
            "runs": int(scored),
            "samples of a long import": int(pools.get(BULK, 0)),
        }


if __name__ == "__main__":
    main()
