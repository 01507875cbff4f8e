"""Loops that are compiled, and kept compiled in the cache folder: quick from the second time."""

import os
from collections.abc import Callable
from typing import Any

from core import config


def prepare() -> None:
    """Say where compiled code is kept. It counts for what is imported after it.

    What is found there is run, and numba's index of it is a pickle: so it is this account's own
    folder and nobody else may write there, or none in the cache.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    folder = config.folder("numba")
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)
        os.environ["NUMBA_CACHE_DIR"] = str(folder)


def compiled(loop: Callable[..., Any]) -> Any:
    """The same function as machine code. Sums may be added up in another order."""
    prepare()
    import numba

    return numba.njit(loop, fastmath=True, cache=True)
