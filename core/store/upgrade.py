"""An older store -> the current schema, with a copy of the file beside it first."""

import filecmp
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import duckdb

from core import files
from core.store import schema

log = logging.getLogger(__name__)


def to_newest(path: Path, opened: Callable[[], duckdb.DuckDBPyConnection]) -> None:
    """Apply every step that the file has not seen, all of them or none.

    The caller holds the turn to write. `opened` opens the file for writing; it is closed while it
    is copied: on POSIX systems closing any handle of a file gives up this process's locks on it,
    those of an open store too.

    Raises:
        StoreError: the file was written by a newer SFTLens.
        OSError: the disk has no room for the copy; nothing was changed.
    """
    files.sweep(path.parent)
    while True:
        with closing(opened()) as con:
            if schema.check(con, path):  # another process was quicker
                return
            found = schema.version(con)
            if not found:  # an empty file: there is nothing to lose
                schema.migrate(con)
                return
            con.execute("CHECKPOINT")  # so that the file is all there is
        before = path.stat().st_mtime_ns
        backup = _copied(path, found)
        with closing(opened()) as con:
            if path.stat().st_mtime_ns == before:  # nobody wrote meanwhile
                schema.migrate(con)
                break
    newest = len(schema.MIGRATIONS)
    log.warning("the store went from schema %d to %d; before: %s", found, newest, backup)


def _copied(path: Path, version: int) -> Path:
    """A copy named by version and date; an equal one that a kill has left is as good."""
    stem = f"{path.stem}.schema-{version}.{time.strftime('%Y-%m-%d')}"
    for number in count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        backup = path.with_name(f"{name}{path.suffix}")
        if not backup.exists():
            with files.whole(backup) as part:
                shutil.copyfile(path, part)
        if filecmp.cmp(path, backup, shallow=False):
            return backup
    raise AssertionError("numbers do not end")
