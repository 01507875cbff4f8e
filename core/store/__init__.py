"""The DuckDB file. Every SQL statement of the product is in this folder.

There is no long-lived connection: DuckDB lets one process write or many read. So every
question opens the file, asks, and closes it; when another process is in the way, it waits.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from core import config
from core.errors import StoreError
from core.store import schema

Connection = duckdb.DuckDBPyConnection
WAIT_S = 20.0


class NoStoreError(StoreError):
    """There is no store yet: nothing was imported."""


@contextmanager
def connect(*, write: bool = False, path: Path | None = None) -> Iterator[Connection]:
    """Open the store for one piece of work, at the current schema.

    With `write` the body is one transaction: all of it is kept or none of it. A reader
    brings an older file up to date first.

    Raises:
        NoStoreError: reading, and there is no file.
        StoreError: locked for longer than `WAIT_S`, damaged, or of a newer schema.
        ConfigError: the file or its folder cannot be written.
    """
    path = path or config.store_path()
    if write:
        config.check_writable()
    elif not path.is_file():
        raise NoStoreError(path, "there is no store yet", do="Import a file, or run: sftlens demo.")
    con = _open(path, write=write)
    try:
        if not schema.check(con, path):
            if not write:
                con.close()
                with connect(write=True, path=path):
                    pass
                con = _open(path, write=False)
            else:
                schema.migrate(con)
        with _transaction(con, path) if write else _reading(path):
            yield con
    finally:
        con.close()


def _open(path: Path, *, write: bool) -> Connection:
    """Open the file; retry while another process or thread holds it the other way."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return duckdb.connect(
                str(path),
                read_only=not write,
                config={"autoinstall_known_extensions": "false"},
            )
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            text = str(error)
            busy = "lock" in text or "different configuration" in text
            if not busy:
                raise _damaged(path, error) from error
            if time.monotonic() > deadline:
                do = "Wait for the other process, or close the program that holds the file."
                raise StoreError(path, f"locked for {WAIT_S:.0f} s", do=do) from error
            time.sleep(random.uniform(0.01, 0.06))
        except duckdb.Error as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StoreError:
    first = str(error).splitlines()[0]
    do = "Move the file away and import again; what was measured is kept in the blocks folder."
    return StoreError(path, "cannot be opened as a store", got=first, do=do)


@contextmanager
def _transaction(con: Connection, path: Path) -> Iterator[None]:
    """Commit when the body succeeds, roll back when it does not."""
    con.begin()
    try:
        yield
        con.commit()
    except (OSError, duckdb.IOException) as error:
        raise _full(path, error) from error
    except duckdb.FatalException as error:
        raise _full(path, error) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.IOException, duckdb.InternalException, duckdb.FatalException) as error:
        raise _damaged(path, error) from error


def _full(path: Path, error: Exception) -> StoreError:
    first = str(error).splitlines()[0]
    do = "Free some space on the disk of the cache folder and try again; nothing was changed."
    return StoreError(path, "the store cannot be written", got=first, do=do)
