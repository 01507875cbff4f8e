"""The tables, as numbered steps. Append a step; never edit one that has shipped."""

from collections.abc import Callable

import duckdb

from core.errors import StoreError

Migration = Callable[[duckdb.DuckDBPyConnection], object]


def version(con: duckdb.DuckDBPyConnection) -> int:
    """Number of the newest step this file has seen; 0 for an empty file."""
    try:  # one question, because every reader asks it after every write
        newest = con.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    except duckdb.CatalogException:
        return 0
    return int(newest[0]) if newest else 0


def check(con: duckdb.DuckDBPyConnection, path: object) -> bool:
    """Whether the file has every step; False when some are still to be applied.

    Raises:
        StoreError: the file was written by a newer SFTLens.
    """
    found = version(con)
    if found > len(MIGRATIONS):
        do = "Update SFTLens, or set SFTLENS_CACHE to another folder."
        got = f"schema {found}, this version knows {len(MIGRATIONS)}"
        raise StoreError(path, "the store was written by a newer SFTLens", got=got, do=do)
    return found == len(MIGRATIONS)


def migrate(con: duckdb.DuckDBPyConnection) -> None:
    """Apply the steps this file has not seen, in one transaction: all of them or none."""
    con.begin()
    con.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number INTEGER PRIMARY KEY, name VARCHAR, applied_at TIMESTAMP)"
    )
    for number, step in enumerate(MIGRATIONS[version(con) :], start=version(con) + 1):
        step(con)
        con.execute("INSERT INTO migrations VALUES (?, ?, now())", [number, step.__name__])
    con.commit()


def _m001_pools(con: duckdb.DuckDBPyConnection) -> None:
    """Narrow rows to filter and sort in `samples`; the long texts beside them in `texts`."""
    con.execute(
        "CREATE TABLE pools (pool VARCHAR PRIMARY KEY, kind VARCHAR, fingerprint VARCHAR,"
        " n BIGINT, created_at TIMESTAMP)"
    )
    con.execute(
        "CREATE TABLE samples (pool VARCHAR, position INTEGER, sample_id VARCHAR, source VARCHAR,"
        " n_turns INTEGER, n_chars INTEGER, preview VARCHAR, meta VARCHAR)"
    )
    con.execute(
        "CREATE TABLE texts (pool VARCHAR, position INTEGER, sample_id VARCHAR, turns VARCHAR,"
        " input VARCHAR, record VARCHAR)"
    )


def _m002_runs(con: duckdb.DuckDBPyConnection) -> None:
    """One row a run. Its scores are a table of their own, `run_<id>`: one column a diagnostic."""
    con.execute(
        "CREATE TABLE runs (run_id VARCHAR PRIMARY KEY, pool VARCHAR, fingerprint VARCHAR,"
        " method VARCHAR, params VARCHAR, card VARCHAR, n BIGINT, n_scored BIGINT,"
        " seconds DOUBLE, created_at TIMESTAMP)"
    )


def _m003_maps(con: duckdb.DuckDBPyConnection) -> None:
    """One row a map. Its samples are a table of their own, `map_<id>`, and so are its links.

    `map_<id>`: position, sample_id, x, y, cluster, neighbours INTEGER[10], cosines FLOAT[10].
    `links_<id>`: kind (cosine or minhash), a, b, similarity: pairs of positions.
    """
    con.execute(
        "CREATE TABLE maps (map_id VARCHAR PRIMARY KEY, pool VARCHAR, fingerprint VARCHAR,"
        " of VARCHAR, seed BIGINT, card VARCHAR, labels VARCHAR, note VARCHAR, n BIGINT,"
        " seconds DOUBLE, created_at TIMESTAMP)"
    )


def _m004_people(con: duckdb.DuckDBPyConnection) -> None:
    """What people say: recipes by name, and reviews of samples. Rows are only ever added."""
    con.execute(
        "CREATE TABLE recipes (name VARCHAR, version INTEGER, pool VARCHAR, recipe_key VARCHAR,"
        " recipe VARCHAR, note VARCHAR, author VARCHAR, created_at TIMESTAMP,"
        " PRIMARY KEY (name, version))"
    )
    con.execute("CREATE SEQUENCE review_order")
    con.execute(
        "CREATE TABLE reviews (number BIGINT DEFAULT nextval('review_order'), pool VARCHAR,"
        " sample_id VARCHAR, reviewer VARCHAR, verdict VARCHAR, note VARCHAR, queue VARCHAR,"
        " created_at TIMESTAMP)"
    )


MIGRATIONS: tuple[Migration, ...] = (_m001_pools, _m002_runs, _m003_maps, _m004_people)
