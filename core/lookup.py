"""One sample's measured arrays out of many parts on disk, without reading the other samples'.

`core.blocks` reads all parts of a folder at once, as scoring needs them. A page that shows one
sample reads the ids of all parts once, and then one part for each sample it shows.
"""

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN

log = logging.getLogger(__name__)
DAMAGED = (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError)


@dataclass(frozen=True)
class Index:
    """Which part holds which sample: `ids` (r,) bytes in order, `part` (r,) and `row` (r,)."""

    paths: tuple[Path, ...]
    ids: NDArray[np.bytes_]
    part: IntN
    row: IntN


def index(folder: Path) -> Index:
    """Read the ids of every part; a folder that is gone holds none, a damaged part neither."""
    paths = tuple(sorted(folder.glob("part-*.npz")))
    each = [_member(path, "ids") for path in paths]
    held = [np.zeros(0, np.bytes_) if ids is None else ids for ids in each]
    sizes = [len(ids) for ids in held]
    ids = np.concatenate([np.zeros(0, np.bytes_), *held])
    order = np.argsort(ids, kind="stable")
    part = np.repeat(np.arange(len(paths)), sizes)
    row = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)])
    return Index(paths, ids[order], part[order], row[order])


def find(held: Index, sample_id: str, column: str) -> NDArray[Any] | None:
    """A named array of one sample, or None when no part that can be read holds it."""
    wanted = np.bytes_(sample_id.encode())
    at = int(np.searchsorted(held.ids, wanted))
    if at == len(held.ids) or held.ids[at] != wanted:
        return None
    found = _member(held.paths[held.part[at]], column)
    return None if found is None else found[held.row[at]]


def _member(path: Path, name: str) -> NDArray[Any] | None:
    """One array of a part; None for a part that is damaged or has gone."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except DAMAGED as error:
        log.warning("%s cannot be read (%s)", path, error)
        return None
