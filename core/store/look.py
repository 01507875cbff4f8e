"""Whether the store's file can be opened, without waiting for it and without touching it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from core.errors import StoreError
from core.store import BUSY, READING, schema

State = Literal["none", "ready", "older", "busy", "newer", "damaged"]


@dataclass(frozen=True)
class Look:
    """What was found. `holder`: the process that has a busy file open, 0 where it is not told."""

    state: State
    holder: int = 0


def look(path: Path) -> Look:
    """Open the file to read, ask for its schema, and close it."""
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
