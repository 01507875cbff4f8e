"""Writing and reading maps: a row that says how it was made, a table of places, one of links."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import RunError
from core.maps import FLOORS, Map
from core.neighbours import Links
from core.store import Connection, journal
from core.store.columns import Columns
from core.store.pools import get_pool

MAP_ID = re.compile(r"[0-9a-f]{20}")
IN_A_SECOND = 300_000  # places inserted, with their links, or so
Of = Literal["instructions", "gradients", "answers"]
By = Literal["cosine", "minhash"]


@dataclass(frozen=True)
class StoredMap:
    """A finished map. `card` says which checkpoint, parameters and versions made it.

    `labels` has one label a cluster, the largest cluster first.
    """

    map_id: str
    pool: str
    fingerprint: str
    of: Of
    seed: int
    card: dict[str, Any]
    labels: tuple[str, ...]
    note: str
    n: int
    seconds: float

    @property
    def rough(self) -> bool:
        """Whether neighbours and near-duplicates were sought nearby alone: a few may be missing."""
        exact: int = self.card.get("parameters", {}).get("umap_at_most", self.n)
        return self.n > exact


def add_map(con: Connection, row: StoredMap, ids: Sequence[str], made: Map) -> None:
    """Store a map with all its places and links. Storing the same map again changes nothing."""
    import pyarrow as pa

    if get_map(con, row.map_id) is not None:
        return
    width = made.neighbours.shape[1]
    places: dict[str, Any] = {
        "position": pa.array(np.arange(len(ids), dtype=np.int32)),
        "sample_id": pa.array(list(ids), pa.string()),
        "x": pa.array(made.coordinates[:, 0], from_pandas=True),  # NaN becomes NULL
        "y": pa.array(made.coordinates[:, 1], from_pandas=True),
        "cluster": pa.array(made.cluster.astype(np.int32)),
        "neighbours": pa.FixedSizeListArray.from_arrays(pa.array(made.neighbours.ravel()), width),
        "cosines": pa.FixedSizeListArray.from_arrays(pa.array(made.cosines.ravel()), width),
    }
    _create(con, places_table(row.map_id), pa.table(places))
    kinds = [kind for kind, found in made.duplicates.items() for _ in range(len(found.a))]
    pairs = {
        "kind": pa.array(kinds, pa.string()),
        "a": pa.array(_stacked(made, "a", np.int32)),
        "b": pa.array(_stacked(made, "b", np.int32)),
        "similarity": pa.array(_stacked(made, "similarity", np.float64)),
    }
    _create(con, f"links_{_known(row.map_id)}", pa.table(pairs))
    con.execute(
        "INSERT INTO maps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, now())",
        [
            row.map_id,
            row.pool,
            row.fingerprint,
            row.of,
            row.seed,
            json.dumps(row.card, sort_keys=True),
            json.dumps(row.labels, ensure_ascii=False),
            row.note,
            row.n,
            row.seconds,
        ],
    )
    tell(con, row)


def tell(con: Connection, row: StoredMap) -> None:
    """Put beside the store what a map is made from; its places are made again from that."""
    own = {name: getattr(row, name) for name in ("map_id", "pool", "fingerprint", "of", "seed")}
    journal.add(con, "map", own | {"source": row.card.get("source", {})})


def _stacked(made: Map, column: str, dtype: Any) -> NDArray[Any]:
    """One column of all links, kind after kind."""
    return np.concatenate(
        [np.empty(0, dtype), *(getattr(x, column) for x in made.duplicates.values())]
    )


def _create(con: Connection, table: str, rows: Any) -> None:
    con.register("incoming", rows)
    con.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")  # noqa: S608  (our own id)
    con.unregister("incoming")


def get_map(con: Connection, map_id: str) -> StoredMap | None:
    """The map with this id, or None."""
    row = con.execute(
        "SELECT map_id, pool, fingerprint, of, seed, card, labels, note, n, seconds"
        " FROM maps WHERE map_id = ?",
        [map_id],
    ).fetchone()
    if row is None:
        return None
    found, pool, fingerprint, of, seed, card, labels, note, n, seconds = row
    card, labels = json.loads(card), tuple(json.loads(labels))
    return StoredMap(found, pool, fingerprint, of, seed, card, labels, note, n, seconds)


def newest_map(con: Connection, pool: str, of: Of = "instructions") -> StoredMap:
    """The newest map of the pool as it is now.

    Raises:
        PoolError: there is no pool by this name.
        RunError: there is no such map of it, or it has grown since.
    """
    row = con.execute(
        "SELECT map_id FROM maps JOIN pools USING (pool, fingerprint)"
        " WHERE pool = ? AND of = ? ORDER BY maps.rowid DESC LIMIT 1",
        [pool, of],
    ).fetchone()
    found = get_map(con, row[0]) if row else None
    if found is None:
        get_pool(con, pool)  # an unknown pool has a sentence of its own
        do = f"Make it first: sftlens map {pool} --of {of}."
        raise RunError(pool, f"there is no map of the {of} of this pool as it is now", do=do)
    return found


def map_rows(con: Connection, map_id: str) -> dict[str, NDArray[Any]]:
    """The places of a map as arrays in pool order.

    Returns: `x`, `y` (n,) float32, NaN for a sample without a place; `cluster` (n,) int32, -1
    for it; `neighbours` (n, 10) int32 positions, -1 where there are fewer; `cosines` (n, 10).
    """
    with con.cursor() as cursor:  # `con` itself refuses while a row of its last answer is unread
        rows = cursor.sql(
            "SELECT x, y, cluster, neighbours, cosines"  # noqa: S608  (our own id)
            f" FROM {places_table(map_id)} ORDER BY position"
        ).to_arrow_table()
    out: dict[str, NDArray[Any]] = {}
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        wide = name in ("neighbours", "cosines")
        flat = (column.flatten() if wide else column).to_numpy(zero_copy_only=False)
        out[name] = flat.reshape(len(rows), -1) if wide and len(rows) else flat
    return out


def columns(con: Connection, map_id: str) -> Columns:
    """As `map_rows`, each array read when it is looked at.

    Raises:
        RunError: there is no such map.
    """
    found = get_map(con, map_id)
    if found is None:
        raise RunError(map_id[:8], "this map is not in the store", do="Make it: sftlens map POOL.")
    return Columns(con, places_table(map_id), found.n)


def map_links(con: Connection, map_id: str, by: By) -> Links:
    """The links of a map, for near-duplicate groups at any threshold from their floor on."""
    rows = con.execute(
        f"SELECT a, b, similarity FROM links_{_known(map_id)} WHERE kind = ?"  # noqa: S608
        " ORDER BY similarity DESC, a, b",
        [by],
    ).fetchnumpy()
    a, b = np.asarray(rows["a"], np.int32), np.asarray(rows["b"], np.int32)
    return Links(a, b, np.asarray(rows["similarity"], np.float64), FLOORS[by])


def places_table(map_id: str) -> str:
    """The name of a map's table of places."""
    return f"map_{_known(map_id)}"


def _known(map_id: str) -> str:
    """The id, if it is one; only our own ids ever reach a statement."""
    if not MAP_ID.fullmatch(map_id):
        raise RunError(map_id, "is not a map id", do="Take one from: sftlens map POOL.")
    return map_id
