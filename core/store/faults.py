"""What is wrong with the file, in one line: it is damaged, or the disk is full."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from core.errors import StoreError

REBUILD = "Run: sftlens rebuild. It makes a new one from what stands beside it."
DAMAGED = (  # what DuckDB says of a file that is not what it wrote
    "checksum",
    "corrupt",
    "deserializ",
    "serialization",
    "not a valid",
    "could not read",
    "failed to read",
    "read from file",
    "failure while replaying",
    "internal error",
    "invalidated",
    "magic bytes",
    "out of range",
)
FULL = (
    "no space left",
    "could not write",
    "disk quota",
    "read-only file system",
    "failed to write",
)
FAULTS = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.InternalException,
    duckdb.FatalException,
)


def is_damage(error: BaseException) -> bool:
    """Whether an error of DuckDB tells of a damaged file, and not of a full disk."""
    if _is_full(error) or isinstance(error, OSError):
        return False
    told = str(error).lower()
    return isinstance(error, FAULTS[1:]) or any(sign in told for sign in DAMAGED)


def _is_fault(error: BaseException) -> bool:
    """Whether an error is of the file, and not of the question; a bad checksum has no own class."""
    return isinstance(error, FAULTS) or type(error) is duckdb.Error


def _is_full(error: BaseException) -> bool:
    told = str(error).lower()
    return any(sign in told for sign in FULL)


def opening(path: Path, error: BaseException) -> StoreError:
    """The sentence for a file that cannot be opened."""
    if "permission denied" in str(error).lower():
        do = "Check the permissions of the file and its folder."
        return StoreError(path, "the store cannot be opened", got=_first(error), do=do)
    return (_full if _is_full(error) else _damaged)(path, error)


def _damaged(path: Path, error: BaseException) -> StoreError:
    return StoreError(path, "the store is damaged", got=_first(error), do=REBUILD)


def _full(path: Path, error: BaseException) -> StoreError:
    do = "Free some space on the disk of the cache folder and try again; nothing was changed."
    return StoreError(path, "the store cannot be written", got=_first(error), do=do)


def _first(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "No space left on device"
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell a full disk, which may show at the commit alone, from a damaged file."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if not isinstance(error, OSError | duckdb.TransactionException) and not _is_fault(error):
            raise
        raise (_damaged if is_damage(error) else _full)(path, error) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A question that fails inside DuckDB is a damaged file."""
    try:
        yield
    except duckdb.Error as error:
        if not _is_fault(error):
            raise
        raise (_full if _is_full(error) else _damaged)(path, error) from error
