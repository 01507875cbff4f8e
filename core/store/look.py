"""Whether the store's file can be opened, at a glance; and whether all of it can be read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from core.errors import StoreError
from core.store import connect, faults, schema
from core.store.opening import BUSY, READING

State = Literal["none", "ready", "older", "busy", "newer", "damaged"]


@dataclass(frozen=True)
class Look:
    """What was found. `holder`: the process that has a busy file open, 0 where it is not told."""

    state: State
    holder: int = 0


def look(path: Path) -> Look:
    """Open the file to read, ask for its schema, and close it, without waiting for anybody."""
    if not path.is_file():
        return Look("none")
    try:
        settings = {"autoinstall_known_extensions": "false", **READING}  # as other readers have
        con = duckdb.connect(str(path), read_only=True, config=settings)
    except duckdb.Error as error:
        if not any(sign in str(error) for sign in BUSY):
            return Look("damaged")
        found = re.search(r"PID (\d+)", str(error))
        return Look("busy", int(found[1]) if found else 0)
    try:
        return Look("ready" if schema.check(con, path) else "older")
    except StoreError:
        return Look("newer")
    except duckdb.Error:
        return Look("damaged")
    finally:
        con.close()


def damage(path: Path) -> StoreError | None:
    """What is wrong with a store, all of which is read for it; None where nothing is.

    Raises:
        StoreError: it is locked, or of a newer schema: that is no damage.
    """
    try:
        with connect(path=path) as con:
            for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                con.execute(f"SELECT bit_xor(hash(t)) FROM {table} t").fetchall()  # noqa: S608
    except StoreError as error:
        if error.do != faults.REBUILD:
            raise
        return error
    return None
