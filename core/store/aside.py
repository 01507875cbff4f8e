"""A long write goes into a copy of the file, which takes the file's place at its end.

Who reads goes on with the file meanwhile, and people go on saying what they have to say in it:
their recipes and reviews are taken over at the end, while everybody waits for a moment. A kill
leaves the file as it was or the new one, and a copy that the next writer sweeps away.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import duckdb

from core import files
from core.errors import StoreError
from core.store import journal, turns

LONG_S = 0.3  # a write that lasts longer goes into a copy
COPIED = 500e6  # bytes in a second, or so
WORTH = 10.0  # times as long as the write itself its copy may take
SPARE = 1 << 30  # bytes that stay free beside the copy and as much again
COPY = """
import shutil, sys
try:
    shutil.copyfile(*sys.argv[1:])
except OSError as error:
    sys.exit(error.errno)
"""
GROWING = ("migrations", "pools", "samples", "runs", "maps")  # which a short write lets alone
Opened = Callable[[Path], duckdb.DuckDBPyConnection]
Turn = Callable[..., AbstractContextManager[None]]


def pays(path: Path, lasts_s: float) -> bool:
    """Whether to copy the file for a write of about so many seconds.

    Not where the copy would take far longer than the write, or finds no room.
    """
    size = path.stat().st_size
    room = shutil.disk_usage(path.parent).free > 2 * size + SPARE
    return lasts_s > LONG_S and size / COPIED < WORTH * lasts_s and room and not _log(path).exists()


@contextmanager
def written(path: Path, opened: Opened, turn: Turn) -> Iterator[duckdb.DuckDBPyConnection]:
    """The body is a transaction in a copy of the file: all of it is kept or none of it.

    The caller holds the lock `long`. `opened` opens a file for writing, once nobody else has it
    open; `turn` takes other locks.

    Raises:
        StoreError: a program that takes no turns has written meanwhile; nothing was changed.
        OSError: the disk is full; nothing was changed.
    """
    files.sweep(path.parent)
    part = files.part(path)
    try:
        with turn(path, turns.TURN):
            _copy(path, part)
        with journal.kept(lambda: None, back=True) as told:
            with closing(opened(part)) as con:
                before = {table: _count(con, table) for table in (*GROWING, "recipes", "reviews")}
                con.begin()
                yield con
                con.commit()
            with turn(path, turns.TURN, turns.DOOR):
                _take_over(path, part, before, opened)
                with journal.kept(lambda: _put(path, part, told)):
                    told.write()
    finally:
        part.unlink(missing_ok=True)
        _log(part).unlink(missing_ok=True)


def _put(path: Path, part: Path, told: journal.Told) -> None:
    os.replace(part, path)
    told.undo.clear()  # it is done: Ctrl-C takes nothing back from here on


def _copy(path: Path, part: Path) -> None:
    """Copy the file in a process of its own.

    On POSIX systems closing any handle of a file gives up this process's locks on it, and other
    threads may be reading.
    """
    words = [sys.executable, "-I", "-S", "-c", COPY, str(path), str(part)]
    code = subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        code = code if code > 0 else errno.EIO
        raise OSError(code, os.strerror(code))


def _take_over(path: Path, part: Path, before: dict[str, int], opened: Opened) -> None:
    """Put into the copy what people have said since it was made."""
    from core.store import recipes, reviews

    with closing(opened(path)) as con:  # nobody reads any more, or will before this is over
        if any(_count(con, table) != before[table] for table in GROWING):
            what = "was written meanwhile by a program that takes no turns"
            raise StoreError(path, what, do="Call it again; nothing was changed.")
        said = list(recipes.rows(con, skip=before["recipes"]))
        judged = list(reviews.rows(con, skip=before["reviews"]))
    if said or judged:
        with closing(opened(part)) as con:
            con.begin()
            for row in said:
                recipes.restore(con, row)
            for row in judged:
                reviews.restore(con, row)
            con.commit()
    if _log(part).exists():  # it is gone where all of it went into the file
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    [(n,)] = con.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608  (our own)
    return int(n)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
