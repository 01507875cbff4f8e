"""Big stores to try the app on.

    python -m benchmarks.stores real FOLDER [--embedder minilm] [--data ../shared/data]
    python -m benchmarks.stores synthetic FOLDER [--samples 1000000]

real: the 16,153 samples of four sources, and the multiple-choice questions of MedQA as a pool of
their own; scores of the fake engine, maps from hashed words unless an embedder is asked for.
synthetic: invented samples, scores and maps, see benchmarks/invented.py; memory stays bounded.
Then: SFTLENS_CACHE=FOLDER sftlens app
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import invented
from core import config, mapping, pools, runs, store
from core.domain import Pool, RunSpec, content_hash, id_hash
from core.engines.fake import FakeEngine
from core.methods import build
from core.progress import Progress
from core.store import maps as stored_maps
from core.store import pools as stored_pools
from core.store import runs as stored

SOURCES = ("gsm8k_train.jsonl", "codealpaca.json", "alpaca_en_demo.json", "gpteacher_roleplay.json")
QUERIES = 32
WIDTH = 64  # of cheap vectors
BLOCK_TOKENS = 200_000  # an engine that does nothing wants few blocks
LIGHT: Mapping[str, Any] = {
    "gradient_similarity.width": 64,
    "gradient_similarity.checkpoints": 1,
    "loss_trajectory.checkpoints": 6,
    "loss_trajectory.clusters": 24,
    "answer_divergence.bins": 100,
}


@click.group(help=__doc__)
def main() -> None:
    """Make a store; see the module."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", default=config.ROOT.parent / "shared" / "data", type=Path)
@click.option("--embedder", type=click.Choice(["words", "minilm"]), default="words")
@click.option("--limit", type=int, default=None, help="Read the first records of each file only.")
def real(folder: Path, data: Path, embedder: str, limit: int | None) -> None:
    """Real samples, scores of the fake engine."""
    os.environ["SFTLENS_CACHE"] = str(folder)
    FakeEngine.block_tokens = BLOCK_TOKENS
    pools.import_files([data / name for name in SOURCES], "real", limit=limit)
    pools.import_files([data / "medqa_test.jsonl"], "medqa", limit=limit)
    pools.import_files([data / "gsm8k_test.jsonl"], "gsm8k", "query", limit=QUERIES)
    for name in ("real", "medqa"):
        spec = RunSpec(name, "", LIGHT, model="fake", query="gsm8k")
        for finished in runs.execute_all(spec, Progress()):
            click.echo(f"{name} {finished.run.method}: {finished.run.seconds:.1f} s")
        with timed(f"{name}: maps"):
            if embedder == "words":
                words_map(name)
            else:
                mapping.make(name)
            for of in mapping.RUNS:
                mapping.make(name, of)


def words_map(name: str) -> stored_maps.StoredMap:
    """A map of the instructions by the words in them: TF-IDF of hashed words, WIDTH wide."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    with store.connect() as con:
        pool = stored_pools.get_pool(con, name)
        samples = stored_pools.read_samples(con, name, pool.sample_ids)
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(
        [sample.instruction for sample in samples]
    )
    width = min(WIDTH, min(words.shape) - 1)
    vectors = TruncatedSVD(width, random_state=0).fit_transform(words).astype(np.float32)
    source = {"vectors": f"TF-IDF of words by SVD to {width} numbers, not an embedder"}
    return mapping.make_from(pool, "instructions", vectors, vectors.any(axis=1), source)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--samples", "n", default=1_000_000, show_default=True)
def synthetic(folder: Path, n: int) -> None:
    """Invented samples, scores and maps."""
    os.environ["SFTLENS_CACHE"] = str(folder)
    world = invented.latent(n)
    with timed("pool"):
        pool = add_pool("synthetic", "pool", world)
        query = add_pool("synthetic-query", "query", invented.latent(invented.QUERIES, seed=7))
    ids = id_hash(pool.sample_ids)
    for method, params, x in measured(world):
        with timed(method):
            add_run(pool, query, method, params, x, ids, world)
    for seed, of in enumerate(("instructions", "gradients", "answers")):
        with timed(f"map of the {of}"):
            add_map(pool, of, invented.islands(world, seed))


def add_pool(name: str, kind: Any, world: invented.Latent) -> Pool:
    """Spool the samples and add them, as an import does."""
    import pyarrow.parquet as pq

    spool = config.folder("spool") / f"{name}.parquet"
    first = 0
    with pq.ParquetWriter(spool, stored_pools.arrow_batch([], 0).schema) as writer:
        for batch in invented.samples(world):
            writer.write_table(stored_pools.arrow_batch(batch, first))
            first += len(batch)
    with store.connect(write=True) as con:
        added = stored_pools.add_pool(con, name, kind, spool)
    spool.unlink()
    return added.pool


def measured(world: invented.Latent) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each method with its parameters and what its `reduce` would give, one at a time."""
    base = prefixed("base", invented.token_stats(world, 0.0, 1))
    tuned = prefixed("calibrated", invented.token_stats(world, 0.15, 2))
    drawn = np.random.default_rng(8).random(world.n) < 0.1
    yield "differential_entropy", {}, base | tuned | {"calibrated_in_warm_up": drawn}
    yield "perplexity", {}, base
    del base, tuned
    yield "answer_entropy", {}, prefixed("answer", invented.answer_token(world))
    yield "answer_divergence", {"bins": invented.ISLANDS}, invented.clouds(world)
    closeness = {
        "similarity_4": invented.similarities(world),
        "rate_4": np.full(world.n, 1e-5),
        "n_tokens": world.n_tokens,
        "nll": np.exp(0.35 * world.hard),
        "norm": np.exp(0.3 * world.hard),
        "over_long": world.n_tokens > 398,
    }
    yield "gradient_similarity", {"checkpoints": 1}, closeness
    curves = {
        "trajectory": invented.trajectories(world),
        "n_tokens": world.n_tokens,
        "over_long": world.n_tokens > 398,
    }
    params = {"checkpoints": invented.STEPS, "clusters": invented.ISLANDS}
    yield "loss_trajectory", params, curves
    yield "length", {}, {}
    yield "random", {}, {}


def prefixed(need: str, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns as `score` knows them."""
    return {f"{need}_{name}": column for name, column in columns.items()}


def add_run(
    pool: Pool,
    query: Pool,
    name: str,
    params: dict[str, Any],
    x: dict[str, NDArray[Any]],
    ids: NDArray[np.int64],
    world: invented.Latent,
) -> None:
    """Score and store a run, as `runs.execute` does after measuring."""
    from dataclasses import replace

    began = time.monotonic()
    method = build(name, params)
    x = {"id_hash": ids, "n_chars": 6 * world.n_tokens, "n_tokens": world.n_tokens} | x
    scores = method.score(x)
    scores = replace(scores, diagnostics={**x, **scores.diagnostics})
    about = {"name": query.name, "fingerprint": query.fingerprint}
    card = {
        "model": "invented",
        "base": {"name": "invented", "revision": "0", "key": "invented"},
        "query": about if method.needs_query() else None,
        "checkpoints": {},
        "parts": {},
        "precision": "invented",
        "max_tokens": 4096,
        "versions": runs.versions(),
    }
    run = stored.Run(
        content_hash(["invented", pool.fingerprint, name, method.model_dump()]),
        pool.name, pool.fingerprint, name, method.model_dump(), card, len(pool),
        int(np.isfinite(scores.value).sum()), time.monotonic() - began,
    )  # fmt: skip
    with store.connect(write=True) as con:
        stored.add_run(con, run, pool.sample_ids, scores)


def add_map(pool: Pool, of: Any, made: Any) -> None:
    """Store a map whose card says that it was invented."""
    source = {"vectors": "invented, not measured"}
    card = {"source": source, "parameters": {}, "versions": mapping.versions()}
    key = mapping.map_id(pool, of, 0, source)
    row = stored_maps.StoredMap(
        key, pool.name, pool.fingerprint, of, 0, card, made.labels, made.note, len(pool), 0.0
    )
    with store.connect(write=True) as con:
        stored_maps.add_map(con, row, pool.sample_ids, made)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long something took, and the most memory this process had."""
    import resource

    began = time.monotonic()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    click.echo(f"{what}: {time.monotonic() - began:.1f} s, at most {peak:.1f} GB so far")


if __name__ == "__main__":
    main()
