"""The DuckDB file. Every SQL statement of the product is in this folder.

There is no long-lived connection: DuckDB lets one process write or many read. So every
question opens the file, asks, and closes it; when another process is in the way, it waits, see
`core.store.turns`.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import duckdb

from core import access, config, files
from core.errors import StoreError
from core.store import aside, faults, journal, opening, turns
from core.store.opening import opened

Connection = duckdb.DuckDBPyConnection
Unfit = duckdb.Error  # what a statement says of a value that does not fit
INTERRUPTED = "Query interrupted"
_BESIDE: set[tuple[Path, int]] = set()  # files whose rows all stand beside them, too
_WRITING = threading.RLock()  # DuckDB lets the threads of one process write at once, and conflict


class NoStoreError(StoreError):
    """There is no store yet: nothing was imported."""


@contextmanager
def connect(
    *, write: bool = False, path: Path | None = None, lasts_s: float = 0.0, people: bool = False
) -> Iterator[Connection]:
    """Open the store for one piece of work, at the current schema.

    With `write` the body is one transaction: all of it is kept or none of it; it must not
    open the store to write again. A reader brings an older file up to date first.

    Args:
        write: whether the body may write.
        path: the file; by default `config.store_path()`.
        lasts_s: seconds that writing will take, about. A long one keeps nobody from reading, or
            from saying what they have to say, see `core.store.aside`.
        people: the body adds recipes and reviews and nothing else, so that it waits for no long
            write.

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
    try:
        with _opened(path, write, lasts_s, people) as con:
            yield con
    except RuntimeError as error:
        if str(error) == INTERRUPTED:  # Ctrl-C, as DuckDB tells of it
            raise KeyboardInterrupt from error
        raise


def _opened(
    path: Path, write: bool, lasts_s: float, people: bool
) -> AbstractContextManager[Connection]:
    if not write:
        return _to_read(path)
    if people:
        return _in_place(path, nullcontext())
    if lasts_s > aside.LONG_S and not journal.is_silent():
        return _aside(path, lasts_s)
    return _in_place(path, turns.taken(path, turns.LONG))


@contextmanager
def _to_read(path: Path) -> Iterator[Connection]:
    with faults.reading(path), opening.held(opening.current(path, alone(path))) as con:
        yield con


@contextmanager
def _in_place(path: Path, before: AbstractContextManager[None]) -> Iterator[Connection]:
    """One transaction in the file itself; `before`: what is to be held before the turn."""
    with faults.writing(path), before, _turn(path, turns.TURN, turns.DOOR):
        if not path.is_file():
            opening.make(path)
        with opening.held(opening.current(path, None)) as con, _transaction(con, path):
            yield con


@contextmanager
def _aside(path: Path, lasts_s: float) -> Iterator[Connection]:
    """One transaction in a copy that takes the file's place; in the file where none would pay."""
    with faults.writing(path), turns.taken(path, turns.LONG):
        with _in_place(path, nullcontext()):
            pass  # there is a file, of the newest schema, and all of it stands beside it
        if aside.pays(path, lasts_s):
            with aside.written(path, partial(opened, write=True), _turn) as con:
                yield con
            _BESIDE.add((path, path.stat().st_ino))
        else:
            with _in_place(path, nullcontext()) as con:
                yield con


@contextmanager
def _transaction(con: Connection, path: Path) -> Iterator[None]:
    """One transaction, and with it what it puts beside the store."""
    from core.store.catching_up import catch_up

    this = path, path.stat().st_ino
    if this not in _BESIDE and not journal.is_silent():
        files.sweep(path.parent)
        catch_up(con)
        _BESIDE.add(this)
    with journal.kept(con.commit):  # closing without it rolls back
        con.begin()
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep everybody else from the store: who wrote has ended, who comes waits."""
    door = _turn(path, turns.TURN, turns.DOOR)
    with faults.writing(path), turns.taken(path, turns.LONG), door:
        yield


def settle(path: Path) -> None:
    """Wait until nobody reads, and fold the log of the last commits into the file.

    The caller holds `alone`. Of a damaged file it stays beside it.

    Raises:
        StoreError: a program that is not ours has it open.
    """
    try:
        opened(path, write=True).close()
    except StoreError as error:
        if error.do != faults.REBUILD:
            raise


@contextmanager
def _turn(path: Path, *locks: turns.Lock) -> Iterator[None]:
    """Be the only thread of the only process that writes into the file."""
    with _WRITING, turns.taken(path, *locks):
        yield
