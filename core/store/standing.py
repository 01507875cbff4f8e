"""Where one sample stands in a run: counted in the store, so that no column leaves it."""

from collections.abc import Sequence

import numpy as np

from core.standing import Standing
from core.store import Connection
from core.store.names import quoted
from core.store.runs import OWN_COLUMNS, scores_table


def standings(
    con: Connection, pool: str, run_id: str, position: int, columns: Sequence[str]
) -> list[Standing]:
    """The sample's standing by score and by some columns of a run; unknown columns are left out.

    Empty when the run does not reach the sample.
    """
    table = scores_table(run_id)
    rows = con.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND data_type = 'DOUBLE'",
        [table],
    ).fetchall()
    known = {name for (name,) in rows if name not in OWN_COLUMNS}
    names = ["value", *(name for name in columns if name in known)]
    found = con.execute(_query(table, names), [pool, pool, position, position]).fetchone()
    if found is None:
        return []
    step = 7
    return [
        _standing("score" if name == "value" else name, found[k * step : (k + 1) * step])
        for k, name in enumerate(names)
    ]


def _query(table: str, names: Sequence[str]) -> str:
    """Seven numbers a column: the sample's own, and below, above, all of the pool and source."""
    counts = [
        f"any_value(one.{c}), count(*) FILTER (r.{c} < one.{c}), count(*) FILTER (r.{c} > one.{c}),"
        f" count(r.{c}), count(*) FILTER (mine AND r.{c} < one.{c}),"
        f" count(*) FILTER (mine AND r.{c} > one.{c}), count(r.{c}) FILTER (mine)"
        for c in map(quoted, names)
    ]
    return (
        "WITH peers AS (SELECT position FROM samples WHERE pool = ? AND source ="  # noqa: S608
        " (SELECT source FROM samples WHERE pool = ? AND position = ?)),"
        f" one AS (SELECT * FROM {table} WHERE position = ?),"
        f" r AS (SELECT *, position IN (SELECT position FROM peers) AS mine FROM {table})"
        f" SELECT {', '.join(counts)} FROM r, one HAVING count(*) > 0"
    )


def _standing(column: str, cells: Sequence[float | None]) -> Standing:
    value = np.nan if cells[0] is None else float(cells[0])
    below, above, known, mine_below, mine_above, mine = (int(c or 0) for c in cells[1:])
    itself = 0 if np.isnan(value) else 1
    return Standing(
        column, value, below, above, known - itself, mine_below, mine_above, mine - itself
    )
