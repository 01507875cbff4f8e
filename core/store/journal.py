"""What only the store would hold, a second time beside it: one line of JSON a write.

`journal/journal.jsonl` has a line for each import, run, map, recipe and review, in the order of
their transactions; the samples of an import stand in a Parquet file, see `core.store.copies`.
A line is on the disk before its transaction ends, and a transaction that fails takes it back. A
kill in between leaves a line too many: whoever reads takes the later one of two that speak of
the same thing, see `told`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import duckdb

Kind = Literal["import", "run", "map", "recipe", "review"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FOLDER, NAME = "journal", "journal.jsonl"
KEYS: Mapping[str, tuple[str, ...]] = {  # what a line speaks of; a review is always another one
    "run": ("run_id",),
    "map": ("map_id",),
    "recipe": ("name", "version"),
}


@dataclass(frozen=True)
class Line:
    """One write: its kind, and the row as plain values."""

    kind: Kind
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for two lines of which the later one counts; reviews have every value in it."""
        names = KEYS.get(self.kind, sorted(self.facts))
        return (self.kind, *(self.facts.get(name) for name in names))


class _Transaction:
    """What the transaction of this process has put beside the store so far, and how to undo it.

    One at a time: `core.store.connect` lets one writer in.
    """

    undo: list[Callable[[], object]] = []  # noqa: RUF012  (of the process, as the lock is)
    silent = False


def folder(con: duckdb.DuckDBPyConnection) -> Path:
    """The folder beside the file that a connection has open."""
    asked = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    [(path,)] = con.execute(asked).fetchall()  # to its end: others go on with the connection
    return Path(path).parent / FOLDER


@contextmanager
def kept(commit: Callable[[], object]) -> Iterator[None]:
    """The body is a transaction: what it puts beside the store is taken back if it fails.

    Ctrl-C in the commit itself leaves open whether it was done: the lines stay then, and one too
    many does no harm, see the module.
    """
    undo = _Transaction.undo
    undo.clear()
    try:
        yield
        try:
            commit()
        except (KeyboardInterrupt, RuntimeError):  # as DuckDB tells of it, which errors are not
            undo.clear()
            raise
    except BaseException:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise
    finally:
        undo.clear()


@contextmanager
def silent() -> Iterator[None]:
    """Writes of the body come from the journal, and are not told to it again."""
    _Transaction.silent = True
    try:
        yield
    finally:
        _Transaction.silent = False


def is_silent() -> bool:
    """Whether the writes of now come from the journal."""
    return _Transaction.silent


def undo(step: Callable[[], object]) -> None:
    """Do this if the transaction fails."""
    _Transaction.undo.append(step)


def add(con: duckdb.DuckDBPyConnection, kind: Kind, facts: Mapping[str, Any]) -> None:
    """Append a line, on the disk when this returns.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    if _Transaction.silent:
        return
    path = folder(con) / NAME
    path.parent.mkdir(exist_ok=True)
    text = json.dumps({kind: dict(facts)}, sort_keys=True, default=str)  # ASCII: any text survives
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


def lines(place: Path) -> tuple[list[Line], int]:
    """The lines of a folder's journal in order, and how many cannot be read."""
    try:
        content = (place / NAME).read_bytes()
    except FileNotFoundError:
        return [], 0
    found = [_line(text) for text in content.split(b"\n") if text.strip()]
    return [line for line in found if line is not None], found.count(None)


def _line(text: bytes) -> Line | None:
    try:
        [(kind, facts)] = json.loads(text).items()
    except (ValueError, AttributeError, RecursionError):
        return None
    return Line(kind, facts) if kind in KINDS and isinstance(facts, dict) else None


def told(found: Sequence[Line]) -> list[Line]:
    """The lines that count, in order.

    Of two with one key the later one does. An import takes the place of those that began where it
    begins, or behind: they were never committed, or the store was put back to an older state.
    """
    last = {line.key: k for k, line in enumerate(found)}
    counted: list[Line | None] = []
    for number, line in enumerate(found):
        if line.kind == "import":
            counted = [None if _voids(line, old) else old for old in counted]
        counted.append(line if line.kind == "review" or last[line.key] == number else None)
    return [line for line in counted if line is not None]


def _voids(new: Line, old: Line | None) -> bool:
    if old is None or old.kind != "import" or old.facts["pool"] != new.facts["pool"]:
        return False
    return bool(old.facts["start"] >= new.facts["start"])
