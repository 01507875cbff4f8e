"""What a pool's samples can be told apart by, beside scores; and a run's score on its own."""

from typing import Any

import numpy as np

from core.domain import FloatN
from core.store import Connection
from core.store.runs import OWN_COLUMNS, scores_table

LOOKED_AT = 2000  # samples whose meta columns are offered
MOST_VALUES = 200  # values of a column that are offered
OF_SAMPLES = ("n_chars", "n_turns")


def score_and_length(con: Connection, run_id: str) -> tuple[FloatN, FloatN | None]:
    """A run's scores (n,) under its own parameters, and the response tokens where they are known.

    In pool order, without the run's other columns: a fraction of what `run_columns` reads.
    """
    table = scores_table(run_id)
    known = con.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = ? AND column_name = 'n_tokens'",
        [table],
    ).fetchone()
    tokens = ", n_tokens" if known and known[0] else ""
    with con.cursor() as cursor:
        found = cursor.sql(
            f"SELECT value{tokens} FROM {table} ORDER BY position"  # noqa: S608  (our own id)
        ).to_arrow_table()
    value = _floats(found["value"])
    return value, _floats(found["n_tokens"]) if tokens else None


def run_numbers(con: Connection, run_id: str) -> list[str]:
    """Names of a run's columns of one number a sample, in order of name."""
    rows = con.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND data_type = 'DOUBLE'"
        " ORDER BY column_name",
        [scores_table(run_id)],
    ).fetchall()
    return [name for (name,) in rows if name not in OWN_COLUMNS]


def reasons(con: Connection, run_id: str) -> dict[str, int]:
    """Samples that a run gave no score, by reason, most first."""
    rows = con.execute(
        f"SELECT reason, count(*) AS n FROM {scores_table(run_id)}"  # noqa: S608  (our own id)
        " WHERE reason IS NOT NULL GROUP BY reason ORDER BY n DESC, reason"
    ).fetchall()
    return {str(reason): int(n) for reason, n in rows}


def meta_columns(con: Connection, pool: str) -> tuple[list[str], list[str]]:
    """Meta columns of a pool as rules name them: those of numbers, and those of texts.

    Its first samples are looked at; a column is one of numbers when all its values there are.
    """
    rows = con.execute(
        "WITH first_rows AS (SELECT meta FROM samples WHERE pool = ? ORDER BY position LIMIT ?),"
        " pairs AS (SELECT unnest(json_keys(meta)) AS name, meta FROM first_rows),"
        " cells AS (SELECT name, json_extract_string(meta, '/' || replace(replace(name, '~', '~0'),"
        "   '/', '~1')) AS cell FROM pairs)"
        " SELECT name, bool_and(try_cast(cell AS DOUBLE) IS NOT NULL) AS number FROM cells"
        " WHERE cell IS NOT NULL AND cell <> '' GROUP BY name ORDER BY name",
        [pool, LOOKED_AT],
    ).fetchall()
    split: dict[bool, list[str]] = {True: [], False: []}
    for name, number in rows:
        split[bool(number)].append(f"meta.{name}")
    return split[True], split[False]


def numbers(con: Connection, pool: str, column: str, n: int) -> FloatN:
    """A column of the first n samples as numbers (n,), NaN where there is none.

    `column` is "n_chars", "n_turns" or "meta.NAME".
    """
    values: list[Any] = [pool, n]
    name = column
    if column not in OF_SAMPLES:
        name, values = (
            "try_cast(json_extract_string(meta, ?) AS DOUBLE)",
            [_pointer(column), *values],
        )
    found = (
        con.cursor()
        .sql(
            f"SELECT {name} AS number FROM samples WHERE pool = ? AND position < ?"  # noqa: S608
            " ORDER BY position",
            params=values,
        )
        .to_arrow_table()
    )
    return _floats(found["number"])


def values(con: Connection, pool: str, column: str) -> list[tuple[str, int]]:
    """Values of "source" or "meta.NAME" with their samples, most first; at most `MOST_VALUES`."""
    name, bound = "source", list[Any]()
    if column != "source":
        name, bound = "json_extract_string(meta, ?)", [_pointer(column)]
    rows = con.execute(
        f"SELECT {name} AS label, count(*) AS n FROM samples WHERE pool = ?"  # noqa: S608
        " GROUP BY label HAVING label IS NOT NULL ORDER BY n DESC, label LIMIT ?",
        [*bound, pool, MOST_VALUES],
    ).fetchall()
    return [(str(label), int(n)) for label, n in rows]


def _pointer(column: str) -> str:
    """The JSON pointer of `meta.NAME`."""
    return "/" + column.removeprefix("meta.").replace("~", "~0").replace("/", "~1")


def _floats(column: Any) -> FloatN:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
