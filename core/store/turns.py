"""Whose turn it is: one writes at a time, and who reads lets a writer in.

DuckDB lets one process write or many read, and turns everybody else away at once. Readers that
never end all together would keep a writer out for good. So there are three locks beside the store,
taken in this order:

    long  by who writes more than what people say; a long write holds it from its copy to its end
    turn  by who writes into the file, or copies it
    lock  by who writes into the file, from when it waits for those who read until it is done: who
          comes to read meanwhile waits for it

The locks are the operating system's: they go with the process that holds them, however that ends.
"""

import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from core.errors import StoreError

Lock = Literal["long", "turn", "lock"]
LONG: Lock = "long"
TURN: Lock = "turn"
DOOR: Lock = "lock"
PATIENCE_S = 900.0  # with a writer that is at work: an import of millions takes minutes
POLL_S = 0.005


@contextmanager
def taken(path: Path, *locks: Lock) -> Iterator[None]:
    """Hold some locks, of all processes and threads; wait for who came before.

    Raises:
        StoreError: another one has been writing for `PATIENCE_S`.
    """
    import filelock

    with ExitStack() as stack:
        for name in locks:
            lock = filelock.FileLock(beside(path, name))
            try:
                lock.acquire(timeout=PATIENCE_S, poll_interval=POLL_S)
            except filelock.Timeout:
                raise _impatient(path) from None
            stack.callback(lock.release)
        yield


def let_pass(path: Path) -> bool:
    """Wait until nobody writes into the file or waits to; whether there was somebody.

    Raises:
        StoreError: another one has been writing for `PATIENCE_S`.
    """
    deadline, waited = time.monotonic() + PATIENCE_S, False
    while _taken(beside(path, DOOR)):
        if time.monotonic() > deadline:
            raise _impatient(path)
        time.sleep(random.uniform(0.2, 1) * POLL_S)
        waited = True
    return waited


def beside(path: Path, name: Lock) -> Path:
    """The file of a lock."""
    return path.with_name(f"{path.name}.{name}")


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
