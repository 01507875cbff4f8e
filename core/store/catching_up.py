"""What stands in the store alone, by an older version or without its journal, is put beside it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from core.store import Connection, copies, journal, maps, pools, recipes, reviews, runs
from core.store.journal import Line


def catch_up(con: Connection, tolerant: bool = False) -> None:
    """Write a line, and a copy where there is none, for each row that the journal does not have.

    `tolerant`: of a damaged store, for what can be read of it.

    Raises:
        OSError: the disk is full.
    """
    place = journal.folder(con)
    there = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    held = journal.told(journal.lines(place)[0])
    steps: Mapping[str, Callable[..., None]] = {
        "pools": partial(_pools, place=place, tolerant=tolerant),
        "runs": _runs,
        "maps": _maps,
        "recipes": partial(_people, kind="recipe", rows=recipes.rows),
        "reviews": partial(_people, kind="review", rows=reviews.rows),
    }
    for table, step in steps.items():
        if table in there:
            with suppress(*[duckdb.Error] * tolerant):
                step(con, held)


def _pools(con: Connection, held: list[Line], place: Path, tolerant: bool) -> None:
    """A copy of each pool whose copies do not add up to what it is.

    A damaged store may have lost its last writes: it never says that a line no longer counts.
    """
    asked = "SELECT pool, kind, n, fingerprint FROM pools WHERE n > 0 ORDER BY rowid"
    for pool, kind, n, now in con.execute(asked).fetchall():
        own = [x.facts for x in held if x.kind == "import" and x.facts["pool"] == pool]
        states = [facts["after"] for facts in own]
        facts = {"pool": pool, "kind": kind, "start": 0, "n": n, "before": "", "after": now}
        counted = own[: states.index(now) + 1] if now in states else own
        broken = not all([copies.is_whole(place, each) for each in counted])
        if tolerant and own and not (broken and states[-1] == now):
            continue
        if now not in states or broken:
            copies.keep_pool(con, facts, pools.arrow_batch([], 0).schema)
        elif states[-1] != now:  # an import was killed before its end: its line no longer counts
            journal.add(con, "import", {**facts, "start": n, "n": 0, "before": now})


def _runs(con: Connection, held: list[Line]) -> None:
    known = {line.facts["run_id"] for line in held if line.kind == "run"}
    for (run_id,) in con.execute("SELECT run_id FROM runs ORDER BY rowid").fetchall():
        run = None if run_id in known else runs.get_run(con, run_id)
        if run is not None:
            runs.tell(con, run)


def _maps(con: Connection, held: list[Line]) -> None:
    known = {line.facts["map_id"] for line in held if line.kind == "map"}
    for (map_id,) in con.execute("SELECT map_id FROM maps ORDER BY rowid").fetchall():
        row = None if map_id in known else maps.get_map(con, map_id)
        if row is not None:
            maps.tell(con, row)


def _people(
    con: Connection,
    held: list[Line],
    kind: journal.Kind,
    rows: Callable[[Connection], Iterator[Mapping[str, Any]]],
) -> None:
    """The same review may stand there twice, so they are counted."""
    known = Counter(_text(line.facts) for line in held if line.kind == kind)
    for facts in list(rows(con)):
        known[_text(facts)] -= 1
        if known[_text(facts)] < 0:
            journal.add(con, kind, facts)


def _text(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), sort_keys=True)
