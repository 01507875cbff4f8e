"""Opening the file: when it is there, when nobody is in the way, and at which schema."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from core import access, files
from core.errors import AccessError, StoreError
from core.store import faults, schema, turns
from core.store.upgrade import to_newest

Connection = duckdb.DuckDBPyConnection
WAIT_S = 60.0  # for a process that does not take turns, or a long question
PAUSE_S = 0.002, 0.05  # between two tries: the first, and the longest
BUSY = (  # whole phrases: the text names the path, which may lie in a folder of blocks
    "Could not set lock",  # another process has it open
    "different configuration",  # another thread has it open the other way
    "Unique file handle conflict",  # another thread is opening or closing it
)
READING: dict[str, Any] = {
    "memory_limit": "512MB",
    "threads": "2",
}  # what a question of the app may take
WRITING: dict[str, Any] = {"memory_limit": "2GB"}  # more of a sort goes to the disk
_CHECKED: dict[Path, tuple[int, ...]] = {}  # files that were of this schema when read last
_HELD = threading.local()  # `open`: connections of this thread


def opened(path: Path, *, write: bool) -> Connection:
    """Open the file; retry while another process or thread holds it the other way.

    Who reads already lets nobody pass: the writer waits for it.
    """
    polite = not write and not getattr(_HELD, "open", 0)
    deadline, pause = time.monotonic() + WAIT_S, PAUSE_S[0]
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
            time.sleep(random.uniform(0.5, 1) * pause)
            pause = min(1.5 * pause, PAUSE_S[1])  # a question ends soon, or takes its time


def current(path: Path, alone: AbstractContextManager[None] | None) -> Connection:
    """A connection to the file at the current schema.

    `alone` keeps everybody else out while an older file is changed, for one who only reads; None
    for a writer, who is alone already.
    """
    write = alone is None
    con = opened(path, write=write)
    if not write and _CHECKED.get(path) == _state(path):
        return con
    try:
        newest = schema.check(con, path)
    except BaseException:
        con.close()
        raise
    if not newest:
        con.close()
        _need_upgrade(path)
        with alone or nullcontext():
            to_newest(path, lambda: opened(path, write=True))
        con = opened(path, write=write)
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


@contextmanager
def held(con: Connection) -> Iterator[Connection]:
    """Count an open connection among those of this thread, and close it."""
    _HELD.open = getattr(_HELD, "open", 0) + 1
    try:
        yield con
    finally:
        _HELD.open -= 1
        con.close()


def make(path: Path) -> None:
    """Put an empty file there, whole: a kill or a full disk leaves none that is half made."""
    log_of_another = path.with_name(f"{path.name}.wal")
    files.sweep(path.parent)
    if log_of_another.exists():  # of a store that somebody moved: it must not be replayed
        log_of_another.rename(files.free(path.with_name(f"{path.stem}.left.wal")))
    with files.whole(path) as part:
        duckdb.connect(str(part)).close()


def _state(path: Path) -> tuple[int, ...]:
    """What changes whenever the file does, and the schema that it is measured by."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size, len(schema.MIGRATIONS)
