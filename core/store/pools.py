"""Writing and reading pools."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.domain import Pool, PoolKind, Sample
from core.errors import PoolError
from core.store import Connection, copies
from core.store.samples import read_samples as read_samples
from core.store.samples import response_chars as response_chars

if TYPE_CHECKING:
    import pyarrow as pa

PREVIEW_CHARS = 160
ROWS = 65_536  # inserted at a time
IN_A_SECOND = 40_000  # samples inserted, or so


@dataclass(frozen=True)
class Added:
    """What an import changed in a pool."""

    imported: int
    duplicates: int
    pool: Pool


def arrow_batch(samples: Sequence[Sample], first: int) -> "pa.Table":
    """Samples as one Arrow table; `seq` numbers them from `first`, in the order they were read."""
    import pyarrow as pa

    text, number = pa.string(), pa.int32()
    columns = {
        "seq": pa.array(range(first, first + len(samples)), pa.int64()),
        "sample_id": pa.array([s.sample_id for s in samples], text),
        "source": pa.array([s.source for s in samples], text),
        "n_turns": pa.array([len(s.turns) for s in samples], number),
        "n_chars": pa.array([sum(len(t.content) for t in s.turns) for s in samples], number),
        "preview": pa.array([_preview(s) for s in samples], text),
        "meta": pa.array([_json(s.meta) for s in samples], text),
        "turns": pa.array([_json([[t.role, t.content] for t in s.turns]) for s in samples], text),
        "input": pa.array([s.input for s in samples], text),
        "record": pa.array([s.record for s in samples], text),
    }
    return pa.table(columns)


def _preview(sample: Sample) -> str:
    return " ".join(sample.instruction.split())[:PREVIEW_CHARS]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def add_pool(con: Connection, name: str, kind: PoolKind, parquet: Path) -> Added:
    """Append the samples of a Parquet file of `arrow_batch` tables to a pool, made if new.

    A sample whose id is in the pool already, or came earlier in the file, is a duplicate. What is
    new is kept beside the store, too, before the transaction ends.

    Raises:
        PoolError: the pool exists and is of the other kind.
        OSError: the disk is full.
    """
    known = con.execute(
        "SELECT kind, n, fingerprint FROM pools WHERE pool = ?", [name]
    ).fetchone() or (kind, 0, "")
    if known[0] != kind:
        do = "Choose another name."
        raise PoolError(name, f"is a {_KINDS[known[0]]}, not a {_KINDS[kind]}", do=do)
    start, file = int(known[1]), literal(parquet)
    _insert(con, name, start, file)
    imported = _count(con, "SELECT count(*) FROM incoming")
    read = _count(con, "SELECT count(*) FROM read_parquet(?)", file)
    _stamp(con, name, kind)
    pool = get_pool(con, name)
    if imported:
        facts = {"pool": name, "kind": kind, "start": start, "n": imported}
        facts |= {"before": known[2], "after": pool.fingerprint}
        copies.keep_import(con, parquet, imported == read, facts)
    con.execute("DROP TABLE incoming")
    return Added(imported, read - imported, pool)


def _insert(con: Connection, name: str, start: int, file: str) -> None:
    """Append what is new; its `seq` and positions stay in the table `incoming`."""
    con.execute(  # numbers and ids alone, so that no long text is sorted to find the copies
        "CREATE TEMP TABLE incoming AS SELECT seq,"
        " ? + row_number() OVER (ORDER BY seq) - 1 AS position FROM ("
        "  SELECT seq, sample_id FROM read_parquet(?) i WHERE NOT EXISTS"
        "   (SELECT 1 FROM samples s WHERE s.pool = ? AND s.sample_id = i.sample_id)"
        "  QUALIFY row_number() OVER (PARTITION BY sample_id ORDER BY seq) = 1)",
        [start, file, name],
    )
    for first in range(0, _count(con, "SELECT coalesce(max(seq) + 1, 0) FROM incoming"), ROWS):
        _append(con, name, file, first)


def _append(con: Connection, name: str, file: str, first: int) -> None:
    """Insert the new samples among `ROWS` of the file: of more, the long texts would be sorted."""
    some = " FROM read_parquet(?) JOIN incoming USING (seq) WHERE seq BETWEEN ? AND ?"
    bound = [name, file, first, first + ROWS - 1]
    con.execute(
        "INSERT INTO samples SELECT ?, position, sample_id, source, n_turns, n_chars, preview,"
        f" meta{some} ORDER BY position",
        bound,
    )
    con.execute(
        f"INSERT INTO texts SELECT ?, position, sample_id, turns, input, record{some}"
        " ORDER BY position",
        bound,
    )


_KINDS = {"pool": "pool", "query": "query set"}


def literal(path: Path) -> str:
    """The path for `read_parquet`, which takes `*` and `[1]` in it for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _count(con: Connection, sql: str, *bound: object) -> int:
    row = con.execute(sql, list(bound)).fetchone()
    return int(row[0]) if row else 0


def _stamp(con: Connection, name: str, kind: PoolKind) -> None:
    """Write the pool's size and fingerprint: the hash of its ids in order."""
    con.execute(
        "INSERT INTO pools SELECT ?, ?, '', 0, now()"
        " WHERE NOT EXISTS (SELECT 1 FROM pools WHERE pool = ?)",
        [name, kind, name],
    )
    con.execute(
        "UPDATE pools SET fingerprint = ids.fingerprint, n = ids.n FROM (SELECT"
        " left(sha256(coalesce(string_agg(sample_id, ',' ORDER BY position), '')), 20)"
        " AS fingerprint, count(*) AS n FROM samples WHERE pool = $name) ids"
        " WHERE pools.pool = $name",
        {"name": name},
    )


def get_pool(con: Connection, name: str) -> Pool:
    """A pool with its ids in order.

    Raises:
        PoolError: there is no pool by this name; the sentence lists those there are.
    """
    row = con.execute("SELECT kind, fingerprint FROM pools WHERE pool = ?", [name]).fetchone()
    if row is None:
        names = [r[0] for r in con.execute("SELECT pool FROM pools ORDER BY pool").fetchall()]
        do = f"Use one of: {', '.join(names)}." if names else "Import one: sftlens import FILE."
        raise PoolError(name, "there is no pool by this name", do=do)
    ids = con.execute(
        "SELECT sample_id FROM samples WHERE pool = ? ORDER BY position", [name]
    ).fetchnumpy()["sample_id"]
    return Pool(name, row[0], row[1], tuple(map(str, ids.tolist())))


def meta_column(con: Connection, pool: str, name: str) -> list[Any]:
    """A scalar column of the samples' records in pool order, None where a record has none."""
    path = "/" + name.replace("~", "~0").replace("/", "~1")  # a JSON pointer
    found = con.execute(
        "SELECT json_extract(meta, ?) FROM samples WHERE pool = ? ORDER BY position", [path, pool]
    ).fetchall()
    return [None if text is None else json.loads(text) for (text,) in found]


def meta_names(con: Connection, pool: str) -> list[str]:
    """Names of the scalar columns that records of a pool have, in alphabetical order."""
    found = con.execute(
        "SELECT DISTINCT unnest(json_keys(meta)) AS name FROM samples WHERE pool = ? ORDER BY name",
        [pool],
    ).fetchall()
    return [str(name) for (name,) in found]
