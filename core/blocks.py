"""Measured parts on disk. A part is one .npz with the ids of its samples and their arrays.

To measure is to plan what is missing, to cut it into blocks, to measure each block and to
rename its part into place. So a killed run resumes, a pool that grows measures only what is
new, and two pools share what they share.
"""

import logging
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import files
from core.domain import IntN, Sample, content_hash
from core.engines import Engine, memory
from core.engines.loader import Loadable
from core.errors import RunError
from core.signals import Signal

log = logging.getLogger(__name__)

Fetch = Callable[[Sequence[str]], list[Sample]]  # ids -> samples, in the order of the ids
Parts = dict[str, NDArray[Any]]  # `ids` and named arrays, a row a sample
UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError)  # a damaged part
PLAN_CHUNK = 2048  # samples tokenised at a time while planning


@dataclass(frozen=True)
class Block:
    """A few seconds of work: the ids to measure, and how many tokens or samples they are."""

    ids: tuple[str, ...]
    work: int


@dataclass(frozen=True)
class Task:
    """All that a worker needs to measure a block."""

    signal: Signal
    engine: Loadable
    fetch: Fetch
    folder: Path
    max_tokens: int
    given: Path | None = None  # parts of the signal that this one comes after

    def __call__(self, block: Block) -> Block:
        """Measure the block and rename its part into place."""
        write_part(self.folder, block.ids, self.measured(block))
        return block

    def measured(self, block: Block) -> Parts:
        """The arrays (b, ...) of a block's samples; where memory is short, in smaller steps.

        Raises:
            RunError: there is not even memory for the smallest step.
        """
        given = gather_few(self.given, block.ids) if self.given else {}
        samples = self.fetch(block.ids)
        ask = partial(self.signal.measure, samples, self.engine, self.max_tokens, given)
        return memory.within(self.engine, self.engine.checkpoint.name, ask)


def part_name(ids: Sequence[str]) -> str:
    """What the part of these samples is called."""
    return f"part-{content_hash(list(ids), 16)}.npz"


def write_part(folder: Path, ids: Sequence[str], arrays: Parts) -> Path:
    """Write one part, named by its ids; whole or not at all."""
    path = folder / part_name(ids)
    with files.whole(path) as part, part.open("wb") as out:
        np.savez(out, allow_pickle=False, ids=np.array(ids, dtype=np.bytes_), **arrays)
    return path


def read_parts(folder: Path, column: str = "", paths: Sequence[Path] | None = None) -> Parts:
    """All parts of a folder, one below the other: `ids` (r,) bytes and the arrays (r, ...).

    With a `column`, that one alone and the ids; with `paths`, these parts alone. A damaged part
    is set aside with one log line, and its samples count as missing.
    """
    parts = []
    for path in _paths(folder) if paths is None else paths:
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
                names = ["ids", column] if column else archive.files
                parts.append({name: archive[name] for name in names})
        except UNREADABLE as error:
            log.warning("%s is damaged (%s); its samples are measured again", path, error)
            with suppress(FileNotFoundError):  # another process was quicker
                path.rename(path.with_suffix(".damaged"))
    if not parts:
        return {}
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.npz"))


def columns(folder: Path) -> list[str]:
    """The names of the arrays that the parts of a folder hold."""
    for first in _paths(folder):
        with first.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
            return [name for name in archive.files if name != "ids"]
    return []


def missing(folder: Path, ids: Iterable[str]) -> list[str]:
    """The ids that no part holds, in order. Reads every part whole, so that damage shows.

    What a killed process of this machine left half written is removed.
    """
    files.sweep(folder)
    held: set[bytes] = set()
    for path in _paths(folder):  # one after the other: all arrays are more than memory holds
        held.update(read_parts(folder, paths=[path]).get("ids", np.array([], np.bytes_)).tolist())
    return [sample_id for sample_id in ids if sample_id.encode() not in held]


def planned(
    ids: Sequence[str], signal: Signal, engine: Engine, fetch: Fetch
) -> tuple[list[Block], str]:
    """Cut what is to be measured into blocks; and the unit of their work.

    By tokens, or by samples where a signal says how many make a block.
    """
    lengths = lengths_of(ids, signal, engine, fetch)
    if not (size := signal.per_block):
        return plan(ids, lengths, engine.block_tokens), "tokens"
    by_length = [ids[row] for row in _longest_first(ids, lengths)]
    chunks = [by_length[k : k + size] for k in range(0, len(ids), size)]
    return [Block(tuple(chunk), len(chunk)) for chunk in chunks], "samples"


def plan(ids: Sequence[str], lengths: IntN, block_tokens: int) -> list[Block]:
    """Sort by length, longest first, and cut into blocks of about `block_tokens` tokens.

    Greedy from the left: what remains after a kill is cut as it was before, so a resumed
    run forms the same batches as an undisturbed one.
    """
    blocks: list[Block] = []
    start = 0
    order = _longest_first(ids, lengths)
    total = 0
    for end, row in enumerate(order, start=1):
        total += int(lengths[row])
        if total >= block_tokens or end == len(order):
            blocks.append(Block(tuple(ids[i] for i in order[start:end]), total))
            start, total = end, 0
    return blocks


def _longest_first(ids: Sequence[str], lengths: IntN) -> list[int]:
    """Rows by length, and by id where lengths are equal."""
    found: list[int] = np.lexsort((np.asarray(ids, dtype=np.str_), -lengths)).tolist()
    return found


def lengths_of(ids: Sequence[str], signal: Signal, engine: Engine, fetch: Fetch) -> IntN:
    """Token counts of many samples, a chunk of texts in memory at a time; (len(ids),)."""
    chunks = (ids[i : i + PLAN_CHUNK] for i in range(0, len(ids), PLAN_CHUNK))
    counts = [engine.lengths(fetch(chunk), signal.template) for chunk in chunks]
    return np.concatenate(counts) if counts else np.array([], np.int64)


def ids_on_disk(folder: Path) -> set[bytes]:
    """The ids that the parts of a folder hold; a part that cannot be read holds none."""
    found: set[bytes] = set()
    for path in folder.glob("part-*.npz"):
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
                found.update(archive["ids"].tolist())
        except UNREADABLE as error:
            log.debug("%s: %s", path, error)
    return found


def gather(folder: Path, ids: Sequence[str], column: str = "") -> Parts:
    """The arrays of these samples, (n, ...), in the order of `ids`; one alone if it is named.

    A part is in memory at a time, beside what is gathered. Of a sample in two parts the first
    one's numbers are taken.

    Raises:
        RunError: a sample has no part, e.g. because one was deleted or damaged meanwhile.
    """
    asked = np.array(ids, dtype=np.bytes_)
    wanted, row, again = np.unique(asked, return_index=True, return_inverse=True)
    once = len(wanted) == len(ids)
    row = row if once else np.arange(len(wanted))
    lacks, out = np.ones(len(wanted), bool), Parts()
    for path in _paths(folder):
        part = read_parts(folder, column, [path])
        held = part.pop("ids", np.array([], np.bytes_))
        found, places = _new(held, wanted, lacks)
        for name, array in part.items():
            out[name] = _room(out.get(name), array, len(wanted))
            out[name][row[places]] = array[found]
        lacks[places] = False
    if lacks.any():
        raise _gone(folder)
    return out if once else {name: array[again] for name, array in out.items()}


def _new(held: NDArray[Any], wanted: NDArray[Any], lacks: NDArray[np.bool_]) -> tuple[IntN, IntN]:
    """Rows of a part that are wanted and lacking, and their places among the sorted `wanted`."""
    names, first = np.unique(held, return_index=True)
    at = np.searchsorted(wanted, names)
    there = at < len(wanted)
    there[there] = (wanted[at[there]] == names[there]) & lacks[at[there]]
    return first[there], at[there]


def _room(held: NDArray[Any] | None, array: NDArray[Any], n: int) -> NDArray[Any]:
    """Room for n rows like these, with what is held already; texts of a part may be longer."""
    if held is None:
        return np.empty((n, *array.shape[1:]), array.dtype)
    return held.astype(np.promote_types(held.dtype, array.dtype), copy=False)


def _gone(folder: Path) -> RunError:
    return RunError(folder, "measured parts have gone", do="Run the same command again.")


def gather_few(folder: Path, ids: Sequence[str]) -> Parts:
    """As `gather`, for the ids of a block: reads the parts that hold them, and no others."""
    return _in_order(folder, read_parts(folder, paths=holding(folder, ids)), ids)


def holding(folder: Path, ids: Sequence[str]) -> list[Path]:
    """The parts that hold these ids; all there are, where one is in none."""
    wanted = np.array(ids, dtype=np.bytes_)
    for _ in range(2):
        held, part, paths = _index(folder)
        at = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
        if len(held) and np.array_equal(held[at], wanted):
            found = [paths[k] for k in np.unique(part[at])]
            if all(path.is_file() for path in found):
                return found
        _index.cache_clear()  # parts have come or gone since
    return _paths(folder)


@lru_cache(maxsize=2)
def _index(folder: Path) -> tuple[NDArray[np.bytes_], IntN, list[Path]]:
    """Sorted ids (r,) of all parts, the number of the part (r,) that holds each, and the parts."""
    paths = _paths(folder)
    ids = [read_parts(folder, "ids", [path]).get("ids", np.array([], "S1")) for path in paths]
    held = np.concatenate([np.array([], "S1"), *ids])
    order = np.argsort(held, kind="stable")
    part = np.repeat(np.arange(len(paths)), [len(some) for some in ids])
    return held[order], part[order], paths


def _in_order(folder: Path, parts: Parts, ids: Sequence[str]) -> Parts:
    """The rows of parts in the order of `ids`; see `gather`."""
    held = parts.pop("ids", np.array([], np.bytes_))
    order = np.argsort(held, kind="stable")
    wanted = np.array(ids, dtype=np.bytes_)
    at = np.searchsorted(held, wanted, sorter=order)
    there = at < len(held)
    at = order[at[there]]
    if not there.all() or not np.array_equal(held[at], wanted):
        raise _gone(folder)
    return {name: array[at] for name, array in parts.items()}
