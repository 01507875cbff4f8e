"""Writing and reading runs: a row that says what was done, and a table with its scores."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, MaskN, Scores
from core.errors import RunError
from core.store import Connection, copies, journal
from core.store.columns import Columns
from core.store.names import quoted
from core.store.pools import get_pool, literal

if TYPE_CHECKING:
    import pyarrow as pa

RUN_ID = re.compile(r"[0-9a-f]{20}")
COLUMN = re.compile(r"[a-z][a-z0-9_]*")
OWN_COLUMNS = ("position", "sample_id", "value", "group_no", "reason")
IN_A_SECOND = 500_000  # rows inserted, or so
NO_GROUP = np.iinfo(np.int32).min  # of a run without groups


@dataclass(frozen=True)
class Run:
    """A finished run. `card` says which models, precision and versions made it."""

    run_id: str
    pool: str
    fingerprint: str
    method: str
    params: dict[str, Any]
    card: dict[str, Any]
    n: int
    n_scored: int
    seconds: float


def add_run(con: Connection, run: Run, ids: Sequence[str], scores: Scores) -> None:
    """Store a run with all of its scores. Storing the same run again changes nothing."""
    import pyarrow as pa

    if get_run(con, run.run_id) is not None:
        return
    group = scores.group
    columns: dict[str, Any] = {
        "position": pa.array(np.arange(len(ids), dtype=np.int32)),
        "sample_id": pa.array(list(ids)),
        "value": _numbers_of(scores.value),
        "group_no": pa.nulls(len(ids), pa.int32())
        if group is None
        else pa.array(group, pa.int32()),
        "reason": _reasons(scores),
    }
    for name, column in scores.diagnostics.items():
        columns[_column(name)] = _arrow(column)
    con.register("incoming", pa.table(columns))
    table = scores_table(run.run_id)
    con.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")  # noqa: S608  (our own id)
    con.unregister("incoming")
    _insert(con, run)
    tell(con, run)


def restore(con: Connection, facts: Mapping[str, Any], copy: Path) -> None:
    """Store a run whose scores came from a file, as its line and the copy of its table say."""
    run = Run(**{name: facts[name] for name in Run.__dataclass_fields__})
    con.execute(
        f"CREATE TABLE {scores_table(run.run_id)} AS"  # noqa: S608  (our own id)
        " SELECT * FROM read_parquet(?) ORDER BY position",
        [literal(copy)],
    )
    _insert(con, run)


def tell(con: Connection, run: Run) -> None:
    """Put a run beside the store: what it was, and its scores if they came from a file."""
    table = scores_table(run.run_id)
    copy = copies.keep_scores(con, table, run.run_id) if "file" in run.card else {}
    journal.add(con, "run", asdict(run) | copy)


def _insert(con: Connection, run: Run) -> None:
    con.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, now())",
        [
            run.run_id,
            run.pool,
            run.fingerprint,
            run.method,
            json.dumps(run.params, sort_keys=True),
            json.dumps(run.card, sort_keys=True),
            run.n,
            run.n_scored,
            run.seconds,
        ],
    )


def get_run(con: Connection, run_id: str) -> Run | None:
    """The run with this id, or None."""
    row = con.execute(
        "SELECT run_id, pool, fingerprint, method, params, card, n, n_scored, seconds"
        " FROM runs WHERE run_id = ?",
        [run_id],
    ).fetchone()
    if row is None:
        return None
    run, pool, fingerprint, method, params, card, n, n_scored, seconds = row
    params, card = json.loads(params), json.loads(card)
    return Run(run, pool, fingerprint, method, params, card, n, n_scored, seconds)


def newest_run(con: Connection, pool: str, method: str) -> Run:
    """The newest run of a method on the pool as it is now.

    Raises:
        PoolError: there is no pool by this name.
        RunError: the pool was never scored with it, or has grown since.
    """
    row = con.execute(
        "SELECT run_id FROM runs JOIN pools USING (pool, fingerprint)"
        " WHERE pool = ? AND method = ? ORDER BY runs.rowid DESC LIMIT 1",
        [pool, method],
    ).fetchone()
    run = get_run(con, row[0]) if row else None
    if run is None:
        get_pool(con, pool)  # an unknown pool has a sentence of its own
        do = f"Score it first: {how(pool, method)}."
        raise RunError(pool, f"there is no {method} run of this pool as it is now", do=do)
    return run


def how(pool: str, method: str) -> str:
    """The command that makes a run of a method; imported scores are not computed."""
    if method == "external":
        return f"sftlens score-import {shlex.quote(pool)} FILE"
    return f"sftlens score {shlex.quote(pool)} {method}"


def _arrow(column: NDArray[Any]) -> "pa.Array":
    """A diagnostic for the store: (n,) as DOUBLE, (n, k) as FLOAT[k] or DOUBLE[k]."""
    import pyarrow as pa

    if column.ndim == 1:
        return _numbers_of(np.asarray(column, np.float64))
    kind = np.float32 if column.dtype == np.float32 else np.float64
    flat = pa.array(np.asarray(column, kind).ravel())  # NaN stays NaN inside
    return pa.FixedSizeListArray.from_arrays(flat, column.shape[1])


def _numbers_of(column: FloatN) -> "pa.Array":
    """A column (n,) with NULL for NaN; the array itself where there is none, without a copy."""
    import pyarrow as pa

    return pa.array(column, from_pandas=bool(np.isnan(column).any()))


def _reasons(scores: Scores) -> "pa.Array":
    """Why each sample has no score, NULL where it has one."""
    import pyarrow as pa

    if not any(np.any(mask) for mask in scores.excluded.values()):
        return pa.nulls(len(scores.value), pa.string())
    return pa.array(scores.reasons(), pa.string())


def has_run(con: Connection, pool: str, method: str) -> bool:
    """Whether the pool as it is now was scored with a method."""
    row = con.execute(
        "SELECT count(*) FROM runs JOIN pools USING (pool, fingerprint)"
        " WHERE pool = ? AND method = ?",
        [pool, method],
    ).fetchone()
    return bool(row and row[0])


def run_columns(con: Connection, run_id: str) -> dict[str, NDArray[Any]]:
    """Every column of a run's table as arrays in pool order; NULL numbers become NaN.

    Those stored as lists come back as (n, k), all others as (n,) float64; `group_no` apart.
    """
    numbers = f"SELECT * EXCLUDE (sample_id, reason, group_no) FROM {scores_table(run_id)}"  # noqa: S608
    cursor = con.cursor()  # of its own: an answer before may not have been read to its end
    table = cursor.sql(f"{numbers} ORDER BY position").to_arrow_table()
    return {name: _numbers(table.column(name)) for name in table.column_names}


def run_value(con: Connection, run_id: str) -> NDArray[np.float64]:
    """The scores of a run in pool order, (n,), NaN where there is none; nothing else is read."""
    query = f"SELECT value FROM {scores_table(run_id)} ORDER BY position"  # noqa: S608  (our id)
    return _numbers(con.cursor().sql(query).to_arrow_table()["value"])


def cell(con: Connection, run_id: str, column: str, position: int) -> float:
    """One sample's number in a run; NaN where it has none, or the run has no such column."""
    table = scores_table(run_id)
    known = con.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = ? AND column_name = ?"
        " AND data_type = 'DOUBLE'",
        [table, column],
    ).fetchone()
    if not known or not known[0]:
        return float("nan")
    query = f"SELECT {quoted(column)} FROM {table} WHERE position = ?"  # noqa: S608  (a known one)
    row = con.execute(query, [position]).fetchone()
    return float("nan") if row is None or row[0] is None else float(row[0])


def columns(con: Connection, run_id: str, n: int) -> Columns:
    """What is stored with a run beside groups and reasons; `value` is the score."""
    return Columns(con, scores_table(run_id), n, apart=("group_no",))


def fates(con: Connection, run_id: str, n: int) -> tuple[IntN | None, dict[str, MaskN]]:
    """Group of each sample, None where the run has none; and reason -> (n,) who has no score."""
    group, code = np.full(n, NO_GROUP), np.zeros(n, np.int16)
    names: dict[str, int] = {}
    asked = f"SELECT position, group_no, reason FROM {scores_table(run_id)}"  # noqa: S608
    for batch in con.cursor().sql(asked).to_arrow_reader():
        rows = batch.column(0).to_numpy()
        group[rows] = batch.column(1).fill_null(NO_GROUP).to_numpy()
        found = batch.column(2).fill_null("").dictionary_encode()
        numbers = [
            names.setdefault(name, len(names) + 1) if name else 0
            for name in found.dictionary.to_pylist()
        ]
        code[rows] = np.array(numbers, np.int16)[found.indices.to_numpy()]
    excluded = {name: np.asarray(code == number) for name, number in names.items()}
    return None if (group == NO_GROUP).all() and n else group, excluded


def run_scores(con: Connection, run_id: str, n: int) -> Scores:
    """A run's scores as `add_run` was given them, but for their similarities and features."""
    held = run_columns(con, run_id)
    del held["position"]
    return Scores(held.pop("value"), *fates(con, run_id, n), held)


def _numbers(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # of no chunk
        whole = pa.concat_arrays(whole.chunks) if whole.chunks else pa.array([], whole.type)
    if pa.types.is_fixed_size_list(whole.type):
        return np.asarray(whole.flatten()).reshape(len(whole), whole.type.list_size)
    return np.asarray(whole.to_numpy(zero_copy_only=False), np.float64)


def scores_table(run_id: str) -> str:
    """The name of a run's table; only our own ids ever reach a statement."""
    if not RUN_ID.fullmatch(run_id):
        raise RunError(run_id, "is not a run id", do="Take one from: sftlens status.")
    return f"run_{run_id}"


def _column(name: str) -> str:
    if not COLUMN.fullmatch(name) or name in OWN_COLUMNS:
        raise RunError(name, "cannot be the name of a diagnostic", do="Use a_z, 0_9 and _.")
    return f"{name}"
