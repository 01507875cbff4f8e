"""What only the store would hold, a second time beside it: one line of JSON a write.

`journal/journal.jsonl` has a line for each import, run, map, recipe and review, in the order of
their transactions; the samples of an import stand in a Parquet file, see `core.store.copies`.
A line is on the disk before its transaction ends, and a transaction that fails takes it back. A
kill in between leaves a line too many: whoever reads takes the later one of two that speak of
the same thing, see `core.store.lines`.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from core.store.lines import KINDS as KINDS
from core.store.lines import NAME
from core.store.lines import Kind as Kind
from core.store.lines import Line as Line
from core.store.lines import lines as lines
from core.store.lines import told as told

FOLDER = "journal"


@dataclass
class Told:
    """What a transaction has put beside the store so far, and how to undo it.

    `back`: its lines are kept back until `write`, since others write theirs meanwhile.
    """

    back: bool
    undo: list[Callable[[], object]] = field(default_factory=list)
    lines: list[tuple[Path, Line]] = field(default_factory=list)

    def write(self) -> None:
        """Append the lines that were kept back.

        Raises:
            OSError: the disk is full.
        """
        for place, line in self.lines:
            _append(place, line)


class _Now(threading.local):
    """The transaction of this thread; there may be one in the file and one in a copy of it."""

    told: Told | None = None


_now = _Now()
_silent = False  # of the process, as a rebuild is


def folder(con: duckdb.DuckDBPyConnection) -> Path:
    """The folder beside the file that a connection has open."""
    asked = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    [(path,)] = con.execute(asked).fetchall()  # to its end: others go on with the connection
    return Path(path).parent / FOLDER


@contextmanager
def kept(commit: Callable[[], object], *, back: bool = False) -> Iterator[Told]:
    """The body is a transaction: what it puts beside the store is taken back if it fails.

    Ctrl-C in the commit itself leaves open whether it was done: the lines stay then, and one too
    many does no harm, see the module. `back`: see `Told`.
    """
    around, _now.told = _now.told, Told(back)
    told = _now.told
    try:
        yield told
        try:
            commit()
        except (KeyboardInterrupt, RuntimeError):  # as DuckDB tells of it, which errors are not
            told.undo.clear()
            raise
    except BaseException:
        for step in reversed(told.undo):
            with suppress(OSError):
                step()
        raise
    finally:
        _now.told = around


@contextmanager
def silent() -> Iterator[None]:
    """Writes of the body come from the journal, and are not told to it again."""
    global _silent
    _silent = True
    try:
        yield
    finally:
        _silent = False


def is_silent() -> bool:
    """Whether the writes of now come from the journal."""
    return _silent


def undo(step: Callable[[], object]) -> None:
    """Do this if the transaction fails."""
    if _now.told is not None:
        _now.told.undo.append(step)


def add(con: duckdb.DuckDBPyConnection, kind: Kind, facts: Mapping[str, Any]) -> None:
    """Append a line, on the disk when this returns or, kept back, before the transaction ends.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    if _silent:
        return
    place, line = folder(con), Line(kind, dict(facts))
    if _now.told is not None and _now.told.back:
        _now.told.lines.append((place, line))
    else:
        _append(place, line)


def _append(place: Path, line: Line) -> None:
    path = place / NAME
    path.parent.mkdir(exist_ok=True)
    told = {line.kind: line.facts}
    text = json.dumps(told, sort_keys=True, default=str)  # ASCII: any text survives
    with path.open("a+b") as out:
        before = out.seek(0, os.SEEK_END)
        undo(lambda: os.truncate(path, before))
        if before:
            out.seek(before - 1)
            if out.read(1) != b"\n":  # a kill has cut the last line: it stays a line of its own
                out.write(b"\n")
        out.write(text.encode("ascii") + b"\n")
        out.flush()
        os.fsync(out.fileno())
