"""The DuckDB file. Every SQL statement of the product is in this folder.

There is no long-lived connection: DuckDB lets one process write or many read. So every
question opens the file, asks, and closes it; when another process is in the way, it waits.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from core import config, files
from core.errors import StoreError
from core.store import faults, journal, schema
from core.store.upgrade import to_newest

Connection = duckdb.DuckDBPyConnection
WAIT_S = 20.0
BUSY = (  # whole phrases: the text names the path, which may lie in a folder of blocks
    "Could not set lock",  # another process has it open
    "different configuration",  # another thread has it open the other way
    "Unique file handle conflict",  # another thread is opening or closing it
)
INTERRUPTED = "Query interrupted"
READING: dict[str, Any] = {
    "memory_limit": "512MB",
    "threads": "2",
}  # what a question of the app may take
_CHECKED: dict[Path, tuple[int, ...]] = {}  # files that were of this schema when read last
_BESIDE: set[tuple[Path, int]] = set()  # files whose rows all stand beside them, too
_WRITING = threading.Lock()  # DuckDB lets the threads of one process write at once, and conflict


class NoStoreError(StoreError):
    """There is no store yet: nothing was imported."""


@contextmanager
def connect(*, write: bool = False, path: Path | None = None) -> Iterator[Connection]:
    """Open the store for one piece of work, at the current schema.

    With `write` the body is one transaction: all of it is kept or none of it; it must not
    open the store to write again. A reader brings an older file up to date first.

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
    with _WRITING if write else nullcontext():
        if not path.is_file():
            _make(path)
        with faults.writing(path) if write else faults.reading(path):
            con = _current(_open(path, write=write), path, write=write)
            try:
                with _transaction(con, path) if write else nullcontext():
                    yield con
            except RuntimeError as error:
                if str(error) == INTERRUPTED:  # Ctrl-C, as DuckDB tells of it
                    raise KeyboardInterrupt from error
                raise
            finally:
                con.close()


@contextmanager
def _transaction(con: Connection, path: Path) -> Iterator[None]:
    """One transaction, and with it what it puts beside the store."""
    from core.store.catching_up import catch_up

    this = path, path.stat().st_ino
    if this not in _BESIDE and not journal.is_silent():
        catch_up(con)
        _BESIDE.add(this)
    with journal.kept(con.commit):  # closing without it rolls back
        con.begin()
        yield


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


def _state(path: Path) -> tuple[int, ...]:
    """What changes whenever the file does, and the schema that it is measured by."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size, len(schema.MIGRATIONS)


def _make(path: Path) -> None:
    """Put an empty file there, whole: a kill or a full disk leaves none that is half made."""
    import filelock

    log_of_another = path.with_name(f"{path.name}.wal")
    with faults.writing(path), filelock.FileLock(f"{path}.lock"):
        if not path.is_file():
            files.sweep(path.parent)
            if log_of_another.exists():  # of a store that somebody moved: it must not be replayed
                log_of_another.rename(files.free(path.with_name(f"{path.stem}.left.wal")))
            with files.whole(path) as part:
                duckdb.connect(str(part)).close()


def _current(con: Connection, path: Path, *, write: bool) -> Connection:
    """The connection, or another one, to the file at the current schema."""
    if not write and _CHECKED.get(path) == _state(path):
        return con
    try:
        current = schema.check(con, path)
    except BaseException:
        con.close()
        raise
    if not current:
        con.close()
        with nullcontext() if write else _WRITING, faults.writing(path):
            to_newest(path, lambda: _open(path, write=True))
        con = _open(path, write=write)
    _CHECKED[path] = _state(path)
    return con


def _open(path: Path, *, write: bool) -> Connection:
    """Open the file; retry while another process or thread holds it the other way."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return duckdb.connect(
                str(path),
                read_only=not write,
                config={"autoinstall_known_extensions": "false", **({} if write else READING)},
            )
        except duckdb.Error as error:
            if not any(sign in str(error) for sign in BUSY):
                raise faults.opening(path, error) from error
            if time.monotonic() > deadline:
                do = "Wait for the other process, or close the program that holds the file."
                raise StoreError(path, f"locked for {WAIT_S:.0f} s", do=do) from error
            time.sleep(random.uniform(0.01, 0.06))
