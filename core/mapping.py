"""The one way to map a pool. The CLI, the app and the demo all end in `make` or `make_from`."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import __version__, access, blocks, calibration, cells, maps, store
from core.domain import MaskN, Pool, content_hash
from core.endpoints import of_card
from core.engines.hardware import choose
from core.errors import PoolError
from core.executors import Executor, Serial
from core.fetching import in_order
from core.labels import MOST
from core.measuring import Measuring
from core.methods import build
from core.progress import Progress
from core.signals import Embedding
from core.store import maps as stored
from core.store import pools
from core.store import runs as stored_runs
from core.store.maps import Of, StoredMap
from core.store.runs import Run
from core.warm_ups import Warmed

INSTRUCTIONS = Embedding(model="minilm", checkpoint="embedder", text="instruction")
MAX_TOKENS = 4096  # embedders cut at their own limit
RUNS: dict[Of, str] = {"gradients": "gradient_similarity", "answers": "answer_divergence"}


@access.acts("map", lambda name, of="instructions", *_, **__: f"{name} {of}")
def make(
    name: str,
    of: Of = "instructions",
    seed: int = 0,
    progress: Progress | None = None,
    executor: Executor | None = None,
    calibrate: Callable[..., Warmed] = calibration.calibrate,
) -> StoredMap:
    """Measure what is missing, map the pool, and store the map. The same again is free.

    `calibrate` makes or finds the checkpoints of a warm-up.

    Raises:
        PoolError: the pool is unknown, empty, or a query set.
        ModelError: the embedder cannot be loaded.
        RunError: the vectors of this map come with a run that was not made.
        ConfigError: its measurements are gone, and its device is not there to make them again.
    """
    progress, executor = progress or Progress(quiet=True), executor or Serial()
    with store.connect() as con:
        pool = pools.get_pool(con, name)
    if pool.kind != "pool" or not len(pool):
        what = "is a query set" if pool.kind != "pool" else "holds no samples"
        raise PoolError(name, what, do="Choose a pool of samples: sftlens pools.")
    if of == "instructions":
        found = _instructions(pool, progress, executor)
    else:
        found = _of_run(pool, of, progress, executor, calibrate)
    with store.connect() as con:
        known = stored.get_map(con, map_id(pool, of, seed, found.source))
    if known is not None:  # what was measured may be gone by now
        return known
    return make_from(pool, of, *found.vectors(), found.source, seed, progress)


@dataclass(frozen=True)
class _Found:
    """Where the vectors of a map are from, and how to get them, with which rows have one."""

    source: Mapping[str, Any]
    vectors: Callable[[], tuple[NDArray[np.float32], MaskN]]


def make_all(
    name: str, progress: Progress | None = None, executor: Executor | None = None
) -> list[StoredMap]:
    """Every map of a pool that can be made: of its instructions, and of what its runs measured.

    Raises: as `make`.
    """
    made = [make(name, progress=progress, executor=executor)]
    for of in RUNS:
        with store.connect() as con:
            there = stored_runs.has_run(con, name, RUNS[of])
        if there:
            made.append(make(name, of, progress=progress, executor=executor))
    return made


def _instructions(pool: Pool, progress: Progress, executor: Executor) -> _Found:
    """Vectors (n, d) of the instructions; an empty one has none."""
    precision = choose()
    work = Measuring(pool, None, INSTRUCTIONS.model, precision, MAX_TOKENS, progress, executor)

    def vectors() -> tuple[NDArray[np.float32], MaskN]:
        x = blocks.gather(work.measure(INSTRUCTIONS).folder, pool.sample_ids)
        return x["vector"], ~x["empty"]

    return _Found({"checkpoint": work.base().card(), "precision": precision.key}, vectors)


def _last_vectors(run: Run, of: Of) -> str:
    """The need of a run whose vectors are laid out: the answers', or the last gradients."""
    if of == "answers":
        return "vectors"
    of_pool: list[str] = [name for name in run.card["parts"] if name.startswith("pool_")]
    return max(of_pool, key=lambda name: int(name.removeprefix("pool_")))


def _of_run(
    pool: Pool, of: Of, progress: Progress, executor: Executor, calibrate: Callable[..., Warmed]
) -> _Found:
    """Vectors that a run measured: the last gradient, or the mean direction of the answers."""
    with store.connect() as con:
        run = stored_runs.newest_run(con, pool.name, RUNS[of])
    need = _last_vectors(run, of)
    source = {"run": run.run_id, "parts": run.card["parts"][need]}
    return _Found(source, lambda: _measured(pool, run, need, progress, executor, calibrate))


def _measured(
    pool: Pool,
    run: Run,
    need: str,
    progress: Progress,
    executor: Executor,
    calibrate: Callable[..., Warmed],
) -> tuple[NDArray[np.float32], MaskN]:
    """Unit vectors (n, d) of a need of a run; a part that is gone is measured again."""
    device, _, dtype = str(run.card["precision"]).partition("-")
    model, max_tokens = run.card["model"], run.card["max_tokens"]
    shared = (pool, None, model, choose(device, dtype), max_tokens, progress, executor)
    work = Measuring(*shared, calibrate=calibrate)
    work.answers = of_card(run.card)
    folder = work.measure(build(run.method, run.params).needs()[need]).folder
    column = next(c for c in ("gradient", "vector") if c in blocks.columns(folder))
    rows = blocks.gather(folder, pool.sample_ids, column)[column]
    if rows.ndim == 3:  # (n, k, d): a sample stands where its answers do in the mean
        rows = rows.astype(np.float32).mean(axis=1)
    rows = np.asarray(rows, np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(length, 1e-12), length[:, 0] > 0


def make_from(
    pool: Pool,
    of: Of,
    vectors: NDArray[Any],
    usable: MaskN,
    source: Mapping[str, Any],
    seed: int = 0,
    progress: Progress | None = None,
) -> StoredMap:
    """Map a pool from its vectors (n, d) in pool order, and store the map. Again is free.

    `usable` (n,): samples with a vector. `source` says where the vectors are from (checkpoint,
    precision, or a run and its id); it is part of the map's key and of its card.
    """
    key = map_id(pool, of, seed, source)
    with store.connect() as con:
        known = stored.get_map(con, key)
    if known is not None:
        return known
    progress = progress or Progress(quiet=True)
    progress.say(f"mapping {of} of {len(pool):,} samples")
    began = time.monotonic()
    made = maps.build_map(pool.sample_ids, _Instructions(pool), vectors, usable, seed)
    row = StoredMap(
        key,
        pool.name,
        pool.fingerprint,
        of,
        seed,
        {"source": dict(source), "parameters": parameters(), "versions": versions()},
        made.labels,
        made.note,
        len(pool),
        time.monotonic() - began,
    )
    with store.connect(write=True, lasts_s=len(pool) / stored.IN_A_SECOND) as con:
        stored.add_map(con, row, pool.sample_ids, made)
    return row


def map_id(pool: Pool, of: Of, seed: int, source: Mapping[str, Any]) -> str:
    """Hash of everything that shapes a map."""
    what = ["map", maps.VERSION, pool.name, pool.fingerprint, of, seed, dict(source)]
    nearby = [cells.VERSION] if len(pool) > maps.FITTED else []
    return content_hash([*what, parameters(), *nearby])


@dataclass(frozen=True)
class _Instructions:
    """The instructions of a pool, `input` included, read anew each time they are gone through."""

    pool: Pool

    def __iter__(self) -> Iterator[str]:
        for sample in in_order(self.pool.name, np.arange(len(self.pool))):
            yield next((t.content for t in sample.turns if t.role == "user"), "")


def parameters() -> dict[str, Any]:
    """What shapes a map beside its vectors and its seed, for its key and its card."""
    return {
        "umap": maps.UMAP,
        "start": "PCA",
        "epochs": {"moves": maps.MOVES, "bounds": [*maps.EPOCHS]},
        "umap_at_most": maps.FITTED,
        "umap_sample": maps.SAMPLE,
        "clusters_at_most": MOST,
        "duplicate_floors": maps.FLOORS,
    }


def versions() -> dict[str, str]:
    """Versions that shape the coordinates."""
    from importlib.metadata import version

    names = ("umap-learn", "numba", "numpy", "scipy", "scikit-learn")
    return {"sftlens": __version__} | {name: version(name) for name in names}
