"""The stages after measuring that B11 looks at: scoring into the store, choosing, writing."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import invented, stores
from benchmarks.suite.slopes import Stage, Work
from core import export, pools, runs, store
from core.domain import RunSpec, Scores, content_hash
from core.methods import build, catalogue
from core.policies import Candidates
from core.policies import build as policy
from core.policies import catalogue as policies
from core.policies.budget import Budget
from core.recipe import Recipe
from core.store import runs as stored

POOL = "slopes"


def every(folder: Path) -> list[Stage]:
    """The stages; `folder` is for stores of their own."""
    return [*_scoring(folder), *_choosing(), *_writing(folder)]


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Store and blocks in this folder meanwhile."""
    before = os.environ.get("SFTLENS_CACHE")
    os.environ["SFTLENS_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SFTLENS_CACHE"]
        else:
            os.environ["SFTLENS_CACHE"] = before


@cache
def _inputs(n: int) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Parameters and columns of each method for n invented samples."""
    world = invented.latent(n)
    common = {"n_chars": 6 * world.n_tokens, "n_tokens": world.n_tokens}
    common["id_hash"] = np.random.default_rng(0).permutation(n)
    found = {name: (params, common | x) for name, params, x in stores.measured(world)}
    alone = invented.token_stats(world, -0.2, 3)
    asked = invented.token_stats(world, 0.0, 1)
    found["ifd"] = ({}, common | stores.prefixed("asked", asked) | stores.prefixed("alone", alone))
    return found


def _scoring(folder: Path) -> list[Stage]:
    """Scores from what was measured, into the store."""

    def scoring(name: str, n: int) -> Work:
        params, x = _inputs(n)[name]
        method, ids, number = build(name, params), [f"{k:020x}" for k in range(n)], count()

        def work() -> None:
            scores = method.score(x)
            run_id = content_hash([name, n, next(number)])
            run = stored.Run(run_id, POOL, "", name, {}, {}, n, n, 0.0)
            with store.connect(write=True, path=folder / "scores.duckdb") as con:
                stored.add_run(con, run, ids, scores)

        return work

    names = [name for name, card in catalogue().items() if card.measures]
    return [
        Stage(f"score.{name}", partial(scoring, name), 20_000, 100_000, opens=True)
        for name in names
    ]


def _choosing() -> list[Stage]:
    def choosing(name: str, n: int) -> Work:
        rng = np.random.default_rng(0)
        features = rng.standard_normal((n, 16), dtype=np.float32)
        candidates = Candidates(
            rng.standard_normal(n),
            rng.integers(1, 400, n).astype(float),
            rng.integers(0, 24, n),
            rng.integers(0, 8, n),
            rng.uniform(-1, 1, (n, 16)).astype(np.float32),
            rng.permutation(n),
            features / np.linalg.norm(features, axis=1, keepdims=True),
        )
        chosen = policy(name)
        return lambda: chosen.choose(candidates, Budget.parse("10%"))

    def sorting(n: int) -> Work:
        numbers = np.random.default_rng(0).standard_normal(n)
        return lambda: np.argsort(numbers, kind="stable")

    beside = Stage("a_plain_sort", sorting, 20_000, 100_000, linear=False)
    # the density of its nearest compares each with each: by definition quadratic
    square = "knn_kde"
    few = Stage(f"select.{square}", partial(choosing, square), 300, 600, linear=False)
    rest = [
        Stage(f"select.{name}", partial(choosing, name), 20_000, 100_000)
        for name in policies()
        if name != square
    ]
    return [beside, *rest, few]


def _writing(folder: Path) -> list[Stage]:
    made: dict[int, stored.Run] = {}

    def scored(n: int) -> Path:
        own = folder / f"scored-{n}"
        if n not in made:
            own.mkdir()
            with cache_in(own):
                source = folder / f"scored-{n}.jsonl"
                lines = (
                    {"instruction": f"{k}", "output": "word " * (k % 40 + 1)} for k in range(n)
                )
                source.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf8")
                pools.import_files([source], POOL)
                made[n] = runs.execute(RunSpec(POOL, "length", model="fake")).run
        return own

    def reading(n: int) -> Work:
        path = folder / f"columns-{n}.duckdb"
        rng = np.random.default_rng(0)
        columns = {f"column_{k}": rng.standard_normal(n) for k in range(12)}
        run = stored.Run(content_hash(n), POOL, "", "length", {}, {}, n, n, 0.0)
        with store.connect(write=True, path=path) as con:
            ids = [str(k) for k in range(n)]
            stored.add_run(con, run, ids, Scores(columns["column_0"], diagnostics=columns))

        def work() -> None:
            with store.connect(path=path) as con:
                stored.run_columns(con, run.run_id)

        return work

    def exporting(n: int) -> Work:
        own = scored(n)

        def work() -> None:
            inside = tempfile.TemporaryDirectory(dir=folder)
            with inside as name, cache_in(own):
                recipe = Recipe(pool=POOL, method="length", run_id=made[n].run_id, budget="50%")
                export.export(recipe, export.Layout(), Path(name) / "out")

        return work

    return [
        Stage("export", exporting, 2000, 10_000, opens=True),
        Stage("store_read", reading, 50_000, 100_000, opens=True),
    ]
