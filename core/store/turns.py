"""Whose turn it is: one writes at a time, and who reads lets a writer in.

DuckDB lets one process write or many read, and turns everybody else away at once. Readers that
never end all together would keep a writer out for good. So a writer holds a lock beside the
store, from when it waits until it is done, and who comes to read meanwhile waits for it. The lock
is the operating system's: it goes with the process that holds it, however that ends.
"""

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import StoreError

PATIENCE_S = 900.0  # with a writer that is at work: an import of millions takes minutes
POLL_S = 0.01


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Be the one that writes, of all processes and threads; wait for who came before.

    Raises:
        StoreError: another one has been writing for `PATIENCE_S`.
    """
    import filelock

    lock = filelock.FileLock(_lock(path))
    try:
        lock.acquire(timeout=PATIENCE_S, poll_interval=POLL_S)
    except filelock.Timeout:
        raise _impatient(path) from None
    try:
        yield
    finally:
        lock.release()


def let_pass(path: Path) -> bool:
    """Wait until nobody writes or waits to write; whether there was somebody.

    Raises:
        StoreError: another one has been writing for `PATIENCE_S`.
    """
    deadline, waited = time.monotonic() + PATIENCE_S, False
    while _taken(_lock(path)):
        if time.monotonic() > deadline:
            raise _impatient(path)
        time.sleep(random.uniform(0.2, 1) * POLL_S)
        waited = True
    return waited


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _taken(lock: Path) -> bool:
    """Whether somebody holds the lock, asked so that those who ask do not see each other."""
    if sys.platform == "win32":  # there, who reads tries again until it is let in
        return False
    import fcntl

    try:
        with lock.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody has written yet, or the disk knows no locks
        return False
    return False


def _impatient(path: Path) -> StoreError:
    what = f"another process has been writing for {PATIENCE_S / 60:.0f} min"
    return StoreError(path, what, do="Wait for it (sftlens status), or stop it.")
