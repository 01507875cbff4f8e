"""Loops that are compiled, and kept compiled in the cache folder: quick from the second time."""

import os
from collections.abc import Callable
from typing import Any

from core import config


def prepare() -> None:
    """Say where compiled code is kept. It counts for what is imported after it."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(config.folder("numba")))


def compiled(loop: Callable[..., Any]) -> Any:
    """The same function as machine code. Sums may be added up in another order."""
    prepare()
    import numba

    return numba.njit(loop, fastmath=True, cache=True)
