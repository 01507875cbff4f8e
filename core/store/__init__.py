"""The DuckDB file. Every SQL statement of the product is in this folder.

There is no long-lived connection: DuckDB lets one process write or many read. So every
question opens the file, asks, and closes it; when another process is in the way, it waits, see
`core.store.turns`.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from core import access, config, files
from core.errors import AccessError, StoreError
from core.store import faults, journal, schema, turns
from core.store.upgrade import to_newest

Connection = duckdb.DuckDBPyConnection
WAIT_S = 60.0  # for a process that does not take turns, or a long question
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
WRITING: dict[str, Any] = {"memory_limit": "2GB"}  # more of a sort goes to the disk
_CHECKED: dict[Path, tuple[int, ...]] = {}  # files that were of this schema when read last
_HELD = threading.local()  # `open`: connections of this thread
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
        StoreError: locked for longer than `WAIT_S` by a program that is not ours or for longer
            than `turns.PATIENCE_S` by one that is, damaged, or of a newer schema.
        ConfigError: the file or its folder cannot be written.
        AccessError: with `write` or an older file, and who acts may not write anything.
    """
    path = path or config.store_path()
    if write:
        access.need("write")
        config.check_writable()
    elif not path.is_file():
        raise NoStoreError(path, "there is no store yet", do="Import a file, or run: sftlens demo.")
    with _turn(path) if write else nullcontext():
        if write and not path.is_file():
            _make(path)
        with faults.writing(path) if write else faults.reading(path):
            con = _current(_open(path, write=write), path, write=write)
            _HELD.open = getattr(_HELD, "open", 0) + 1
            try:
                with _transaction(con, path) if write else nullcontext():
                    yield con
            except RuntimeError as error:
                if str(error) == INTERRUPTED:  # Ctrl-C, as DuckDB tells of it
                    raise KeyboardInterrupt from error
                raise
            finally:
                _HELD.open -= 1
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


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Be the only thread of the only process that writes."""
    with _WRITING, faults.writing(path), turns.writing(path):
        yield


def _make(path: Path) -> None:
    """Put an empty file there, whole: a kill or a full disk leaves none that is half made."""
    log_of_another = path.with_name(f"{path.name}.wal")
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
        _need_upgrade(path)
        with nullcontext() if write else _turn(path):
            to_newest(path, lambda: _open(path, write=True))
        con = _open(path, write=write)
    _CHECKED[path] = _state(path)
    return con


def _need_upgrade(path: Path) -> None:
    """An older file is changed by who may write alone; who only reads is told who can.

    Raises:
        AccessError: who acts may not write anything.
    """
    if access.refusal("write"):
        what = "the store was written by an older SFTLens and must be brought up to date first"
        do = "Whoever runs this app can do that, with: sftlens pools."
        raise AccessError(path.name, what, do=do)


def _open(path: Path, *, write: bool) -> Connection:
    """Open the file; retry while another process or thread holds it the other way.

    Who reads already lets nobody pass: the writer waits for it.
    """
    polite = not write and not getattr(_HELD, "open", 0)
    deadline = time.monotonic() + WAIT_S
    while True:
        if polite and turns.let_pass(path):
            deadline = time.monotonic() + WAIT_S
        try:
            return duckdb.connect(
                str(path),
                read_only=not write,
                config={"autoinstall_known_extensions": "false", **(WRITING if write else READING)},
            )
        except duckdb.Error as error:
            if not any(sign in str(error) for sign in BUSY):
                raise faults.opening(path, error) from error
            if time.monotonic() > deadline:
                do = "Wait for the other process, or close the program that holds the file."
                raise StoreError(path, f"locked for {WAIT_S:.0f} s", do=do) from error
            time.sleep(random.uniform(0.01, 0.06))
