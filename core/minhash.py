"""Near-duplicates of texts by the Jaccard index of their shingles, found with MinHash.

Small enough to stand here, and the kernel is arrays; a library for it would bring a loop a text.
Broder 1997; bands as in Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN
from core.neighbours import PAIRS, Links, thinned

CHARS = 5  # of a shingle; characters, so that scripts without spaces work as well
BANDS, ROWS = 64, 4  # a pair of Jaccard index s is looked at with 1 - (1 - s^4)^64: 98 % at 0.5
WINDOW = 32  # texts of one bucket that each text is compared with
HELD = 2**18  # shingles held at a time, about, be they of many texts or of one
CHUNK = 16_384  # pairs compared at a time
FEW_BANDS, NEXT = 32, 2  # as BANDS and WINDOW, of many texts: half a kilobyte each
Hashes = NDArray[np.uint64]


def by_minhash(texts: Sequence[str], threshold: float, seed: int = 0) -> IntN:
    """Near-duplicate groups (n,) of texts at this Jaccard index; see `Links.groups`."""
    return links(texts, threshold, seed).groups(len(texts), threshold)


def links(texts: Sequence[str], floor: float, seed: int = 0) -> Links:
    """Links between texts whose Jaccard index is at least `floor`.

    Which pairs are looked at is decided by MinHash, so a few near the floor may be missed (2 %
    at 0.5, none in ten thousand at 0.6; more where so many share their buckets that not all are
    compared, see `_candidates`); those that are found are checked exactly.
    """
    every_a, every_b = _candidates(signatures(texts, seed))
    hashes = lru_cache(4096)(lambda row: shingles(texts[row]))  # a bucket's rows come together
    kept: list[Links] = []
    for start in range(0, len(every_a), CHUNK):  # of texts from one template there are millions
        a, b = every_a[start : start + CHUNK], every_b[start : start + CHUNK]
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        index = np.array([jaccard(hashes(i), hashes(j)) for i, j in pairs], np.float64)
        kept.append(_near(a, b, index, floor))
        if sum(len(part.a) for part in kept) > PAIRS:
            kept = [thinned(kept, len(texts), floor)]
    return thinned(kept, len(texts), floor)


def rough_links(texts: Iterable[str], place: IntN, floor: float, seed: int = 0) -> Links:
    """As `links`, for more texts than memory holds: each is read once.

    The Jaccard index is estimated by the share of equal hashes, within 0.09 (95 %) at 0.5. The
    text that comes i-th stands at `place[i]` of (n,), whatever order they come in.
    """
    n = len(place)
    signature = _signed(texts, place, _salt(seed)[: FEW_BANDS * ROWS])
    filled = _filled(signature)
    kept: list[Links] = []
    for band in range(FEW_BANDS):
        key = np.sort(_met(signature, filled, band, NEXT))  # each pair is there once
        a, b = key // max(1, n), key % max(1, n)
        kept.append(_near(a, b, _agreement(signature, a, b), floor))
        if sum(len(part.a) for part in kept) > PAIRS:
            kept = [thinned([_once(kept, n)], n, floor)]
    return thinned([_once(kept, n)], n, floor)


def _near(a: IntN, b: IntN, index: NDArray[np.float64], floor: float) -> Links:
    """The pairs whose index is at least `floor`."""
    near = index >= floor
    return Links(a[near].astype(np.int32), b[near].astype(np.int32), index[near], floor)


def _once(parts: Sequence[Links], n: int) -> Links:
    """The pairs of all parts, each once."""
    a, b, similarity = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("a", "b", "similarity")
    )
    _, first = np.unique(a.astype(np.int64) * n + b, return_index=True)
    return Links(a[first], b[first], similarity[first], parts[0].floor)


def _agreement(signature: NDArray[np.uint32], a: IntN, b: IntN) -> NDArray[np.float64]:
    """The share of equal hashes of each pair of rows."""
    out = np.empty(len(a))
    for start in range(0, len(a), CHUNK):
        some = slice(start, start + CHUNK)
        out[some] = (signature[a[some]] == signature[b[some]]).mean(axis=1)
    return out


def shingles(text: str) -> Hashes:
    """Sorted distinct hashes of all runs of `CHARS` characters, case and spacing aside.

    A shorter text is one shingle; an empty one has none.
    """
    plain = " ".join(text.casefold().split())
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if not len(codes):
        return codes
    codes = np.pad(codes, (0, max(0, CHARS - len(codes))))
    runs = np.lib.stride_tricks.sliding_window_view(codes, CHARS)
    total = np.zeros(len(runs), np.uint64)
    for place in range(CHARS):
        total = _mixed(total ^ runs[:, place])
    return _distinct(total)


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The values sorted, each once. `np.unique` hashes them first: a hundred times as long."""
    values = np.sort(values, kind="stable")  # which merges where they come in sorted runs
    new = np.ones(len(values), bool)
    new[1:] = values[1:] != values[:-1]
    return values[new]


def jaccard(left: Hashes, right: Hashes) -> float:
    """Shared shingles by all shingles, 0..1; 0 when both texts are empty."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / max(1, len(left) + len(right) - shared)


def signatures(texts: Sequence[str], seed: int = 0) -> NDArray[np.uint32]:
    """(n, BANDS * ROWS): the least of each hash over a text's shingles; all ones when empty.

    The share of equal places estimates the Jaccard index.
    """
    return _signed(texts, np.arange(len(texts)), _salt(seed))


def _salt(seed: int) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**63, BANDS * ROWS, np.uint64) * 2 + 1


def _signed(texts: Iterable[str], place: IntN, salt: Hashes) -> NDArray[np.uint32]:
    """The signature (n, len(salt)) of each text in the row that `place` (n,) says."""
    out = np.full((len(place), len(salt)), 2**32 - 1, np.uint32)
    start = 0
    for sets in _chunks(texts):
        sizes = np.array([len(s) for s in sets])
        filled = np.flatnonzero(sizes)
        rows = place[start + filled]
        start += len(sets)
        if not len(filled):
            continue
        every = np.concatenate(sets)
        begins = (np.cumsum(sizes) - sizes)[filled]
        for column, odd in enumerate(salt):
            hashed = _mixed(every * odd) >> np.uint64(32)
            out[rows, column] = np.minimum.reduceat(hashed, begins)
    return out


def _chunks(texts: Iterable[str]) -> Iterator[list[Hashes]]:
    """The shingles of each text, of as many texts at a time as `HELD` says."""
    held: list[Hashes] = []
    total = 0
    for text in texts:
        held.append(shingles(text))
        total += 1 + len(held[-1])
        if total >= HELD:
            yield held
            held, total = [], 0
    if held:
        yield held


def _candidates(signature: NDArray[np.uint32]) -> tuple[IntN, IntN]:
    """Pairs a < b that share a bucket in some band, each once, in order.

    In a bucket each text meets the `WINDOW` that follow it: a template with thousands of copies
    stays linear, and is still linked from end to end.
    """
    filled, n = _filled(signature), max(1, len(signature))
    found = np.empty(0, np.int64)
    for band in range(BANDS):
        met = np.sort(_met(signature, filled, band, WINDOW))
        found = _distinct(np.concatenate([found, met]))
    return found // n, found % n


def _filled(signature: NDArray[np.uint32]) -> IntN:
    """Rows of texts that are not empty."""
    return np.flatnonzero((signature != 2**32 - 1).any(axis=1))


def _met(signature: NDArray[np.uint32], filled: IntN, band: int, window: int) -> IntN:
    """Pairs a < b that share a bucket of a band, as a * n + b."""
    n, found = len(signature), [np.empty(0, np.int64)]
    rows = signature[filled, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
    key = np.zeros(len(filled), np.uint64)
    for place in range(ROWS):
        key = _mixed(key ^ rows[:, place])
    order = np.argsort(key, kind="stable")  # so positions rise within a bucket
    key, position = key[order], filled[order]
    for step in range(1, min(window, len(key) - 1) + 1):
        same = key[step:] == key[:-step]
        if not same.any():
            break
        found.append(position[:-step][same] * n + position[step:][same])
    return np.concatenate(found)


def _mixed(x: Hashes) -> Hashes:
    """A bijection of 64-bit numbers that leaves no pattern (the finish of splitmix64)."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
