"""Copies of what came from files, beside the store: samples of imports, and imported scores.

A pool's copies hold each of its samples once, packed with zstd; what an import repeats is in none.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from core import files
from core.domain import content_hash
from core.store import journal

if TYPE_CHECKING:
    import pyarrow as pa

PACKED: Mapping[str, Any] = {"compression": "zstd", "compression_level": 1}
CHUNK = 4096  # samples in memory at a time
FACTS = ("pool", "kind", "start", "n", "before", "after")


def keep_import(
    con: duckdb.DuckDBPyConnection, parquet: Path, everything: bool, facts: Mapping[str, Any]
) -> None:
    """Keep the samples of an import, and write its line.

    `parquet` is what was read, `everything` whether all of it is new; else the table `incoming`
    has the `seq` of those that are. `facts`: see `FACTS`.

    Raises:
        OSError: the disk is full.
    """
    if journal.is_silent():
        return
    if everything:
        _keep(con, facts, lambda part: _link(parquet, part))
        return
    seqs = con.execute("SELECT seq FROM incoming ORDER BY seq").fetchnumpy()["seq"]
    _keep(con, facts, lambda part: _filter(parquet, part, np.asarray(seqs)))


def keep_pool(
    con: duckdb.DuckDBPyConnection, facts: Mapping[str, Any], schema: "pa.Schema"
) -> None:
    """Keep a whole pool as the store holds it, and write a line as of one import."""

    def write(part: Path) -> None:
        import pyarrow.parquet as pq

        asked = (
            "SELECT position AS seq, s.sample_id, source, n_turns, n_chars, preview, meta, turns,"
            " input, record FROM samples s JOIN texts t USING (pool, position)"
            " WHERE pool = ? AND position >= ? AND position < ? ORDER BY position"
        )
        with pq.ParquetWriter(part, schema, **PACKED) as out:
            for start in range(0, facts["n"], CHUNK):
                bound = [facts["pool"], start, start + CHUNK]
                rows: pa.Table = con.sql(asked, params=bound).to_arrow_table()
                out.write_table(rows.cast(schema))

    _keep(con, facts, write)


def keep_scores(con: duckdb.DuckDBPyConnection, table: str, run_id: str) -> dict[str, Any]:
    """Keep the table of a run whose scores came from a file; what to say of it in its line."""
    place = journal.folder(con)
    path = place / f"scores-{run_id}.parquet"

    def write(part: Path) -> None:
        import pyarrow.parquet as pq

        rows = con.sql(f"FROM {table} ORDER BY position").to_arrow_table()
        pq.write_table(rows, part, **PACKED)

    return {} if journal.is_silent() else _written(path, write)


def _keep(
    con: duckdb.DuckDBPyConnection, facts: Mapping[str, Any], write: Callable[[Path], None]
) -> None:
    name = f"import-{content_hash(facts['pool'], 12)}-{facts['start']:010d}-{facts['after'][:8]}"
    path = journal.folder(con) / f"{name}.parquet"
    journal.add(con, "import", {**facts, **_written(path, write)})


def _written(path: Path, write: Callable[[Path], None]) -> dict[str, Any]:
    """Write a copy, whole and on the disk; its name, bytes and SHA-256."""
    files.sweep(path.parent)
    with files.whole(path) as part:
        write(part)
        with part.open("rb") as held:
            os.fsync(held.fileno())
    journal.undo(path.unlink)
    return {"file": path.name, **files.digest(path)}


def _link(source: Path, part: Path) -> None:
    """The same file under another name; a copy where the disk knows no second names."""
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)


def _filter(source: Path, part: Path, seqs: "np.ndarray[Any, Any]") -> None:
    """The rows with these `seq` (sorted, at least one), in the order of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = pq.ParquetFile(source)
    with pq.ParquetWriter(part, held.schema_arrow, **PACKED) as out:
        for batch in held.iter_batches(batch_size=CHUNK):
            own = batch.column("seq").to_numpy()
            wanted = seqs[np.minimum(np.searchsorted(seqs, own), len(seqs) - 1)] == own
            out.write_batch(batch.filter(pa.array(wanted)))


def is_whole(place: Path, facts: Mapping[str, Any], thorough: bool = False) -> bool:
    """Whether the copy that a line speaks of is there; `thorough` reads all of it.

    One that is not what it was is set aside, so that its name is free.
    """
    if not facts.get("file"):
        return True
    path = place / Path(str(facts["file"])).name
    try:
        fits = path.stat().st_size == facts["bytes"]
        if fits and thorough:
            fits = files.digest(path)["sha256"] == facts["sha256"]
    except OSError:
        return False
    if not fits:
        with suppress(OSError):
            path.rename(path.with_suffix(".damaged"))
    return bool(fits)
