"""Read-only questions of the app and the CLI. Each returns a frame whose columns are listed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.store import Connection

ID = np.dtype("S20")


def pools(con: Connection) -> pd.DataFrame:
    """Pools by name. Columns: pool, kind, n, sources, n_chars, fingerprint, created_at."""
    return con.execute(
        "SELECT pool, kind, n, count(DISTINCT source) AS sources, sum(n_chars)::BIGINT AS n_chars,"
        " fingerprint, pools.created_at FROM pools LEFT JOIN samples USING (pool)"
        " GROUP BY ALL ORDER BY pool"
    ).df()


def sources(con: Connection, pool: str) -> pd.DataFrame:
    """Sources of a pool, largest first. Columns: source, n, mean_chars."""
    return con.execute(
        "SELECT source, count(*) AS n, avg(n_chars) AS mean_chars FROM samples WHERE pool = ?"
        " GROUP BY source ORDER BY n DESC, source",
        [pool],
    ).df()


def runs(con: Connection) -> pd.DataFrame:
    """Runs, newest first.

    Columns: run_id, pool, method, params, card, n, n_scored, seconds, created_at, current
    (False when the pool has grown since).
    """
    return con.execute(
        "SELECT run_id, r.pool, method, params, card, r.n, n_scored, seconds, r.created_at,"
        " coalesce(r.fingerprint = p.fingerprint, false) AS current"
        " FROM runs r LEFT JOIN pools p USING (pool) ORDER BY r.rowid DESC"
    ).df()


def pool_rows(con: Connection, pool: str) -> pd.DataFrame:
    """The narrow rows of a pool in pool order. Columns: sample_id, source, n_turns, n_chars."""
    return con.execute(
        "SELECT sample_id, source, n_turns, n_chars FROM samples WHERE pool = ? ORDER BY position",
        [pool],
    ).df()


def fingerprint(con: Connection, pool: str) -> str:
    """Which samples a pool holds now; empty where there is no such pool."""
    row = con.execute("SELECT fingerprint FROM pools WHERE pool = ?", [pool]).fetchone()
    return str(row[0]) if row else ""


def places(
    con: Connection, pool: str, n: int
) -> tuple[NDArray[np.bytes_], NDArray[np.int64], tuple[str, ...]]:
    """The first n ids of a pool in order, each one's source as a number, and the sources' names.

    The sources of the whole pool count in order of name.
    """
    import pyarrow as pa

    names = sources(con, pool)["source"].tolist()
    names.sort()
    number = {name: k for k, name in enumerate(names)}
    ids, code = np.empty(n, ID), np.empty(n, np.int64)
    asked = "SELECT position, sample_id, source FROM samples WHERE pool = ? AND position < ?"
    cursor = con.cursor()  # of its own: an answer before may not have been read to its end
    for batch in cursor.sql(asked, params=[pool, n]).to_arrow_reader():
        rows = batch.column(0).to_numpy()
        of = batch.column(1).cast(pa.binary()).cast(pa.binary(ID.itemsize))
        ids[rows] = np.frombuffer(of.buffers()[1], ID, len(of), ID.itemsize * of.offset)
        found = batch.column(2).dictionary_encode()
        numbers = np.array([number[name] for name in found.dictionary.to_pylist()], np.int64)
        code[rows] = numbers[found.indices.to_numpy()]
    return ids, code, tuple(names)


def previews(con: Connection, pool: str, positions: Sequence[int]) -> pd.DataFrame:
    """First words of some samples. Columns: position, sample_id, source, preview, n_chars."""
    frame = con.execute(
        "SELECT position, sample_id, source, preview, n_chars FROM samples"
        " WHERE pool = ? AND position IN (SELECT unnest(?::INTEGER[]))",
        [pool, [int(p) for p in positions]],
    ).df()
    return frame.set_index("position").loc[np.asarray(positions, np.int64)].reset_index()


def maps(con: Connection, pool: str) -> pd.DataFrame:
    """Maps of a pool, newest first. Columns: map_id, of, n, seed, note, created_at, current."""
    return con.execute(
        "SELECT map_id, of, m.n, seed, note, m.created_at,"
        " coalesce(m.fingerprint = p.fingerprint, false) AS current"
        " FROM maps m LEFT JOIN pools p USING (pool) WHERE pool = ?"
        " ORDER BY m.rowid DESC",
        [pool],
    ).df()


def facts(con: Connection) -> dict[str, int]:
    """Counts for `sftlens doctor`: schema, pools, samples, runs."""
    row = con.execute(
        "SELECT (SELECT max(number) FROM migrations), (SELECT count(*) FROM pools),"
        " (SELECT count(*) FROM samples), (SELECT count(*) FROM runs)"
    ).fetchone()
    return dict(zip(("schema", "pools", "samples", "runs"), row or (), strict=True))
