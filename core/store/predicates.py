"""A recipe's rules as SQL: each rule is one condition on one table, all of them one predicate.

Texts and numbers are bound, never written into a statement; a table's or a column's name is one
of those that the store itself lists.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import MaskN
from core.errors import BudgetError, RunError
from core.rules import Among, Lasso, Range, Rule, Search
from core.store import Connection
from core.store.maps import places_table
from core.store.names import quoted
from core.store.runs import OWN_COLUMNS, scores_table

OF_SAMPLES = ("n_chars", "n_turns")
LIVE = "live"  # columns under other knobs than the stored ones


@dataclass(frozen=True)
class Condition:
    """Positions `FROM table WHERE text`, with a bound value for each `?`."""

    table: str
    text: str
    values: tuple[Any, ...]

    def positions(self) -> str:
        """The statement."""
        return f"SELECT position FROM {self.table} WHERE {self.text}"  # noqa: S608  (see module)


def condition(
    con: Connection, rule: Rule, pool: str, run_id: str, live: Sequence[str] = ()
) -> Condition:
    """What a rule asks, as SQL.

    Args:
        con: for the names of a run's columns.
        rule: the rule.
        pool: whose samples are asked for.
        run_id: the recipe's run.
        live: columns that stand in the table `live` rather than in the run's own.

    Raises:
        BudgetError: the rule names a column that is not there.
        RunError: the rule is on a run or a map that is not there.
    """
    if isinstance(rule, Range):
        return _range(con, rule, pool, run_id, live)
    if isinstance(rule, Among):
        return _among(con, rule, pool, run_id, live)
    if isinstance(rule, Lasso):
        return _lasso(con, rule, pool)
    return _search(rule, pool)


def positions_passing(
    con: Connection,
    rule: Rule,
    pool: str,
    run_id: str,
    n: int,
    live: Mapping[str, NDArray[Any]] | None = None,
) -> MaskN:
    """(n,) True for the first n samples of a pool that pass a rule. `live`: name -> (n,)."""
    import pyarrow as pa

    live = live or {}
    asked = condition(con, rule, pool, run_id, tuple(live))
    own = con.cursor()  # `con` may hold an answer that was not read to its end
    if asked.table == LIVE:
        name = rule.column  # type: ignore[union-attr]  # only columns live there
        column = pa.array(live[name], from_pandas=True)
        rows = pa.array(np.arange(len(column), dtype=np.int32))
        own.register(LIVE, pa.table({"position": rows, name: column}))
    found = own.execute(asked.positions(), list(asked.values)).fetchnumpy()["position"]
    passed = np.zeros(n, bool)
    rows = np.asarray(found, np.int64)
    passed[rows[rows < n]] = True
    return passed


def predicate(con: Connection, rules: Sequence[Rule], pool: str, run_id: str) -> str:
    """All rules as one statement a person can run on the store: the ids that pass every rule."""
    asked = [condition(con, rule, pool, run_id) for rule in rules]
    tests = [f"pool = {_literal(pool)}"]
    tests += [f"position IN ({_spelled(c)})" for c in asked]
    return (
        "SELECT sample_id FROM samples\nWHERE "  # noqa: S608  (literals are quoted below)
        + "\n  AND ".join(tests)
        + "\nORDER BY position;"
    )


def _range(con: Connection, rule: Range, pool: str, run_id: str, live: Sequence[str]) -> Condition:
    table, column, scope = _number(con, rule, pool, run_id, live)
    name, values = column
    ends = [(">=", rule.low), ("<=", rule.high)]
    tests = [f"{name} {sign} ?" for sign, end in ends if end is not None]
    bound = [end for _, end in ends if end is not None]
    # a column of JSON is bound once for each time it is named
    each = [v for end in bound for v in (*values, end)] if bound else list(values)
    tests = tests or [f"{name} IS NOT NULL"]
    return Condition(table, " AND ".join([*scope[0], *tests]), (*scope[1], *each))


def _number(
    con: Connection, rule: Range, pool: str, run_id: str, live: Sequence[str]
) -> tuple[str, tuple[str, list[Any]], tuple[list[str], list[Any]]]:
    """Table, (expression, its values), (tests that choose the pool's rows, their values)."""
    nothing: tuple[list[str], list[Any]] = ([], [])
    of_pool: tuple[list[str], list[Any]] = (["pool = ?"], [pool])
    if rule.column.startswith("meta.") and not rule.run:
        pointer = _pointer(rule.column)
        return "samples", ("TRY_CAST(json_extract_string(meta, ?) AS DOUBLE)", [pointer]), of_pool
    if not rule.run and rule.column in live:
        return LIVE, (quoted(rule.column), []), nothing
    table = scores_table(rule.run or run_id)
    known = _columns(con, table)
    if rule.run and not known:
        do = "Score the pool again, or remove the rule."
        raise RunError(rule.run[:8], "the run that a rule is on is not in the store", do=do)
    if rule.column == "score":
        return table, ("value", []), nothing
    if rule.column in known:
        return table, (quoted(rule.column), []), nothing
    if rule.column in OF_SAMPLES and not rule.run:
        return "samples", (rule.column, []), of_pool
    names = sorted({*known, *OF_SAMPLES, "score"})
    do = f"Use one of: {', '.join(names)}, or meta.NAME."
    raise BudgetError(f"rule {rule.column}", "there is no such column", do=do)


def _among(con: Connection, rule: Among, pool: str, run_id: str, live: Sequence[str]) -> Condition:
    if rule.column == "source":
        table, name, values = "samples", "source", []
    elif rule.column.startswith("meta."):
        table, name = "samples", "json_extract_string(meta, ?)"
        values = [_pointer(rule.column)]
    elif rule.column == "group":
        table = LIVE if "group" in live else scores_table(run_id)
        name, values = ('"group"' if table == LIVE else "group_no") + "::VARCHAR", []
    else:
        do = "Use source, group, or meta.NAME."
        raise BudgetError(f"rule {rule.column}", "is not a column of texts", do=do)
    scope: tuple[str, list[Any]] = ("pool = ? AND ", [pool]) if table == "samples" else ("", [])
    inside = f"coalesce({name} IN (SELECT unnest(?::VARCHAR[])), false)"
    test = inside if rule.keep else f"NOT {inside}"
    return Condition(table, scope[0] + test, (*scope[1], *values, list(rule.values)))


def _lasso(con: Connection, rule: Lasso, pool: str) -> Condition:
    """Inside is where a ray to the right crosses an odd number of edges."""
    known = con.execute("SELECT pool FROM maps WHERE map_id = ?", [rule.map_id]).fetchall()
    if known != [(pool,)]:
        do = f"Make the map again (sftlens map {pool}), or remove the rule."
        raise RunError(rule.map_id[:8], "the map that a lasso is on is not in the store", do=do)
    xs, ys = zip(*rule.polygon, strict=True)
    edges, values = [], [min(xs), max(xs), min(ys), max(ys)]
    ends = [*rule.polygon[1:], rule.polygon[0]]
    for (x0, y0), (x1, y1) in zip(rule.polygon, ends, strict=True):
        if y0 != y1:
            low, high = min(y0, y1), max(y0, y1)
            edges.append("(y >= ? AND y < ? AND x < ? + (y - ?) * ?)::INTEGER")
            values += [low, high, x0, y0, (x1 - x0) / (y1 - y0)]
    crossings = " + ".join(edges) or "0"
    inside = f"x BETWEEN ? AND ? AND y BETWEEN ? AND ? AND ({crossings}) % 2 = 1"
    test = inside if rule.keep else f"NOT coalesce({inside}, false)"
    return Condition(places_table(rule.map_id), test, tuple(map(float, values)))


def _search(rule: Search, pool: str) -> Condition:
    """First the text as JSON writes it, which is quick, then turn by turn, which is exact."""
    written = json.dumps(rule.text, ensure_ascii=False)[1:-1]
    found = (
        "contains(lower(turns), lower(?)) AND len([1 FOR turn IN turns::JSON[]"
        " IF contains(lower(json_extract_string(turn, '$[1]')), lower(?))]) > 0"
    )
    test = f"({found})" if rule.keep else f"NOT ({found})"
    return Condition("texts", f"pool = ? AND {test}", (pool, written, rule.text))


def _columns(con: Connection, table: str) -> list[str]:
    """Names of a table's columns of one number a sample; none when there is no such table."""
    rows = con.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND data_type = 'DOUBLE'",
        [table],
    ).fetchall()
    return [name for (name,) in rows if name not in OWN_COLUMNS]


def _pointer(column: str) -> str:
    """The JSON pointer of `meta.NAME`."""
    return "/" + column.removeprefix("meta.").replace("~", "~0").replace("/", "~1")


def _spelled(asked: Condition) -> str:
    """A condition with its values in place of the question marks."""
    pieces = asked.positions().split("?")
    spelled = [*map(_literal, asked.values), ""]
    return "".join(a + b for a, b in zip(pieces, spelled, strict=True))


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"
