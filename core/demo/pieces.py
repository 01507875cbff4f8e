"""The pieces of a bundle: a pool, a run, a map, a folder of measured parts; each as files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import blocks, config
from core.demo import arrays
from core.domain import Arrays, Pool, Scores
from core.maps import FLOORS, Map
from core.neighbours import Links
from core.store import Connection, maps, pools
from core.store import runs as stored
from core.store.maps import By, StoredMap
from core.store.runs import Run

BY: tuple[By, ...] = ("cosine", "minhash")
MAP = ("x", "y", "cluster", "neighbours", "cosines")


def write_pool(con: Connection, name: str, folder: Path) -> Pool:
    """The samples of a pool, as an import spools them."""
    import pyarrow.parquet as pq

    pool = pools.get_pool(con, name)
    samples = pools.read_samples(con, name, pool.sample_ids)
    rows = pools.arrow_batch(samples, 0)
    pq.write_table(rows, pool_file(folder, name), compression=arrays.COMPRESSION)
    return pool


def pool_file(folder: Path, name: str) -> Path:
    """Where the samples of a pool are."""
    return folder / f"pool-{name}.parquet"


def write_run(con: Connection, run: Run, folder: Path) -> None:
    """The scores of a run and everything stored with them."""
    scores = stored.run_scores(con, run.run_id, run.n)
    reason = np.array([reason or "" for reason in scores.reasons()], np.str_)
    columns: dict[str, NDArray[Any]] = {"value": scores.value, "reason": reason}
    if scores.group is not None:
        columns["group_no"] = scores.group
    arrays.write(folder / f"run-{run.run_id}.parquet", columns | dict(scores.diagnostics))


def read_run(folder: Path, run_id: str) -> Scores:
    """The scores of a run as `add_run` takes them."""
    columns = arrays.read(folder / f"run-{run_id}.parquet")
    value, reason = columns.pop("value"), columns.pop("reason")
    group = columns.pop("group_no", None)
    excluded = {str(text): reason == text for text in np.unique(reason) if text}
    return Scores(value, group, excluded, columns)


def write_map(con: Connection, map_id: str, folder: Path) -> None:
    """The places of a map and its links."""
    rows = maps.map_rows(con, map_id)
    arrays.write(folder / f"map-{map_id}.parquet", {name: rows[name] for name in MAP})
    for by in BY:
        found = maps.map_links(con, map_id, by)
        columns: Arrays = {"a": found.a, "b": found.b, "similarity": found.similarity}
        arrays.write(folder / f"links-{map_id}-{by}.parquet", columns)


def read_map(folder: Path, row: StoredMap) -> Map:
    """A map as `add_map` takes it."""
    x = arrays.read(folder / f"map-{row.map_id}.parquet")
    duplicates: dict[str, Links] = {}
    for by in BY:
        found = arrays.read(folder / f"links-{row.map_id}-{by}.parquet")
        duplicates[by] = Links(found["a"], found["b"], found["similarity"], FLOORS[by])
    places = np.stack([x["x"], x["y"]], axis=1)
    cluster = x["cluster"].astype(np.int64)
    neighbours, cosines = x["neighbours"], x["cosines"]
    return Map(places, cluster, row.labels, neighbours, cosines, duplicates, row.note)


def write_parts(name: str, folder: Path) -> None:
    """All measured parts of one folder of blocks, in the order of their ids, as one file."""
    found = blocks.read_parts(config.folder("blocks") / name)
    order = np.argsort(found["ids"])
    arrays.write(folder / parts_file(name), {key: array[order] for key, array in found.items()})


def read_parts(name: str, folder: Path) -> None:
    """Put measured parts into the folder of blocks, as one part, where no part is."""
    to = config.folder("blocks") / name
    if not blocks.columns(to):
        found = arrays.read(folder / parts_file(name))
        ids = [held.decode() for held in found.pop("ids").tolist()]
        blocks.write_part(to, ids, found)


def parts_file(name: str) -> str:
    """The file of one folder of blocks."""
    return f"parts-{name}.parquet"
