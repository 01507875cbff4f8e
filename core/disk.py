"""Whether a run fits on the disk, told before it begins."""

import shutil
from typing import Any

import numpy as np

from core import config, footprint
from core.counting import spread
from core.errors import ConfigError
from core.estimates import MARGIN, Estimate, Stage, size
from core.measuring import COMMON, Measuring
from core.methods import Method
from core.planning import Planner

SCORED = 4000.0  # samples read back, scored and stored in a second by one slow core, or so
QUERIES = 512  # looked at, at most


def stored(method: Method, measuring: Measuring) -> float:
    """Bytes of a sample in the store: what a method scores and shows, seen on a few."""
    some = measuring.fetch(measuring.pool)(spread(measuring.pool.sample_ids, footprint.SHAPED))
    queries = measuring.query
    asked = measuring.fetch(queries)(spread(queries.sample_ids, QUERIES)) if queries else []
    n = len(some)
    x: dict[str, Any] = {name: np.arange(n) for name in COMMON}
    for name, signal in method.needs().items():
        on = some if signal.on == "pool" else asked
        found = footprint.measured(signal, on)
        x |= {f"{name}_{column}": array for column, array in found.items()}
        x |= {f"{name}_in_warm_up": np.zeros(len(on), bool), f"{name}_rate": np.ones(1)}
    reduced = method.reduce(x)
    common = {name: x[name] for name in COMMON}
    kept_columns = {**common, **reduced, **method.score(reduced).diagnostics}
    return footprint.column_bytes(kept_columns, n)


def scoring(method: Method, measuring: Measuring, look: bool = True) -> Stage:
    """The last step: from measurements to scores in the store; its bytes only with `look`."""
    n = len(measuring.pool)
    bytes_kept = round(n * stored(method, measuring)) if look else 0
    return Stage(f"scoring {method.name}", "samples", n, n, n / SCORED, bytes_kept)


def free_bytes() -> int:
    """Free space where the cache is, or will be."""
    place = config.cache_dir()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def check_room(method: Method, measuring: Measuring) -> None:
    """Refuse a run whose measurements and checkpoints will not fit on the disk.

    Raises:
        ConfigError: they will not.
    """
    stages = Planner(measuring, guess=True).stages(method.needs())
    if not any(stage.left for stage in stages):
        return
    estimate, free = Estimate([*stages, scoring(method, measuring)]), free_bytes()
    if not estimate.fits(free):
        what = f"this run needs about {size(estimate.needed * MARGIN)}, {size(free)} are free"
        do = "Free some space, or set SFTLENS_CACHE to a folder on a larger disk."
        raise ConfigError(config.cache_dir(), what, do=do)
