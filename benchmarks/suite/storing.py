"""The store: columns through Arrow beside rows one by one, and what a kill costs."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.suite import killing
from benchmarks.suite.bench import Bench, Row
from core import store
from core.domain import Scores, content_hash
from core.store import pools
from core.store import runs as stored

COLUMNS = 12  # diagnostics of a run
BY_ROW = 1000  # rows that the reference inserts; it takes seconds


@contextmanager
def fresh(folder: Path) -> Iterator[store.Connection]:
    """A store of its own in one transaction, which is written when the body ends."""
    inside = tempfile.TemporaryDirectory(dir=folder)
    with inside as name, store.connect(write=True, path=Path(name) / "store.duckdb") as con:
        yield con


def by_row(table: str, rows: Sequence[Sequence[Any]], like: pa.Schema) -> Callable[[], str]:
    """The reference: `executemany` of rows into a table, in one transaction; its checksum."""
    columns = ", ".join(f'"{field.name}" {_sql(field.type)}' for field in like)
    marks = ", ".join("?" * len(like))

    def insert() -> str:
        with tempfile.TemporaryDirectory() as folder:
            con = duckdb.connect(str(Path(folder) / "rows.duckdb"))
            con.begin()
            con.execute(f"CREATE TABLE {table} ({columns})")
            con.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
            con.commit()
            found = checksum(con, table, len(rows))
            con.close()
        return found

    return insert


def checksum(con: store.Connection, table: str, n: int) -> str:
    """Of the first n rows in their order, every column as text."""
    asked = f"SELECT md5(string_agg(r::VARCHAR, '\n' ORDER BY position)) FROM {table} r"  # noqa: S608
    row = con.execute(f"{asked} WHERE position < ?", [n]).fetchone()
    return str(row[0]) if row else ""


def _sql(kind: pa.DataType) -> str:
    return {"int32": "INTEGER", "double": "DOUBLE", "string": "VARCHAR"}[str(kind)]


def ingest(bench: Bench) -> Iterator[Row]:
    """B7: a run's scores by `add_run`, and a pool's samples by `add_pool`; the same checksum.

    Seconds that pass, for the disk is part of it, and DuckDB has threads of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield _scores(bench, Path(folder))
        yield _samples(bench, Path(folder))


def _scores(bench: Bench, folder: Path) -> Row:
    n = bench.size(100_000, 1_000_000)
    rng = np.random.default_rng(0)
    ids = [f"{k:020x}" for k in range(n)]
    scores = Scores(
        rng.standard_normal(n),
        rng.integers(0, 9, n),
        diagnostics={f"column_{k}": rng.standard_normal(n) for k in range(COLUMNS)},
    )
    run = stored.Run(content_hash("b7"), "b7", "f", "length", {}, {}, n, n, 0.0)
    table = stored.scores_table(run.run_id)
    found: dict[str, str] = {}

    def ours() -> None:
        with fresh(folder) as con:
            stored.add_run(con, run, ids, scores)

    assert scores.group is not None
    numbers = np.column_stack([scores.value, *scores.diagnostics.values()])[:BY_ROW].tolist()
    groups = scores.group[:BY_ROW].tolist()
    rows = [(k, ids[k], x[0], groups[k], None, *x[1:]) for k, x in enumerate(numbers)]
    kinds = [pa.int32(), pa.string(), pa.float64(), pa.int32(), pa.string()]
    names = [*stored.OWN_COLUMNS, *scores.diagnostics]
    like = pa.schema(list(zip(names, kinds + [pa.float64()] * COLUMNS, strict=True)))
    insert = by_row(table, rows, like)

    def theirs() -> None:
        found["theirs"] = insert()

    with fresh(folder) as con:
        stored.add_run(con, run, ids, scores)
        found["ours"] = checksum(con, table, BY_ROW)
    race = bench.race(ours, theirs, units=(n, BY_ROW), wall=True)
    what = f"{n:,} rows of {len(like)} columns into the store, against executemany"
    note = f"{n / race.ours_s:,.0f} rows a second, theirs {BY_ROW / race.theirs_s:,.0f}"
    return bench.row("b7", what, race.ratio, 1000.0, found["ours"] == found["theirs"], note=note)


def _samples(bench: Bench, folder: Path) -> Row:
    n = bench.size(20_000, 200_000)
    few = bench.samples(5000)
    whole = pools.arrow_batch(few, 0)
    parts = []
    for k in range(0, n, len(few)):  # the same texts under other ids
        own = pa.array([content_hash([k, i]) for i in range(len(few))])
        seq = pa.array(np.arange(k, k + len(few)))
        parts.append(whole.set_column(0, "seq", seq).set_column(1, "sample_id", own))
    spool = folder / "spool.parquet"
    with pq.ParquetWriter(spool, whole.schema) as writer:
        for part in parts:
            writer.write_table(part)
    found: dict[str, str] = {}

    def ours() -> None:
        with fresh(folder) as con:
            pools.add_pool(con, "b7", "pool", spool)

    head = parts[0].slice(0, BY_ROW).to_pylist()
    names = ("sample_id", "source", "n_turns", "n_chars", "preview", "meta")
    rows = [("b7", k, *(item[name] for name in names)) for k, item in enumerate(head)]
    kinds = [
        pa.string(),
        pa.int32(),
        pa.string(),
        pa.string(),
        *[pa.int32()] * 2,
        *[pa.string()] * 2,
    ]
    like = pa.schema(list(zip(("pool", "position", *names), kinds, strict=True)))
    insert = by_row("samples", rows, like)

    def theirs() -> None:
        found["theirs"] = insert()

    with fresh(folder) as con:
        pools.add_pool(con, "b7", "pool", spool)
        found["ours"] = checksum(con, "samples", BY_ROW)
    race = bench.race(ours, theirs, units=(n, BY_ROW), wall=True)
    what = f"{n:,} samples with their texts into the store, against executemany without texts"
    note = f"{n / race.ours_s:,.0f} samples a second, theirs {BY_ROW / race.theirs_s:,.0f}"
    return bench.row(
        "b7.samples", what, race.ratio, None, found["ours"] == found["theirs"], note=note
    )


def resume(bench: Bench) -> Iterator[Row]:
    """B8: kill -9 while scoring, at several places, and again: work done twice, the same rows."""
    n, places = bench.size(300, 1000), bench.size(1, 4)
    with tempfile.TemporaryDirectory() as folder:
        whole = killing.scored(Path(folder) / "whole", bench.samples(n))
        killed = []
        for k in range(places):
            cache = Path(folder) / f"killed-{k}"
            killing.import_pool(cache, bench.samples(n))
            killed.append(killing.kill_and_resume(cache, 1 + 3 * k))
    gate = all(np.array_equal(k.value, whole, equal_nan=True) for k in killed)
    worst = max(k.twice for k in killed)
    what = f"blocks measured twice after kill -9, worst of {places}, {n:,} samples, one worker"
    note = f"killed after {', '.join(str(k.parts) for k in killed)} blocks; the same scores"
    yield bench.row("b8", what, worst, 1.0, gate, at_most=True, note=note)


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {"b7": ingest, "b8": resume}
