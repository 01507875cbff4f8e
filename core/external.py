"""Scores from a file -> a run in the store. A row belongs to the sample with the same key.

Nothing vanishes: a sample without a row has that as its reason, and rows without a sample are
counted and named.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core import access, runs, store
from core.domain import Arrays, IntN, Pool, content_hash, id_hash
from core.errors import PoolError, RecordError
from core.methods import Method, build
from core.score_files import Table, key_text, read
from core.store import pools
from core.store import runs as stored

SAMPLE_ID = "sample_id"  # the key that every sample has: the hash of its text
SHOWN = 3  # rows without a sample that are named


@dataclass(frozen=True)
class Imported:
    """A run of imported scores, and how well the file and the pool met."""

    run: stored.Run
    score: str  # the column as the file names it
    matched: int
    unknown: tuple[str, ...]  # keys of rows without a sample

    def sentence(self) -> str:
        """`matched 3 of 4 samples, ranked by quality; 1 row without a sample: x9`."""
        text = f"matched {self.matched:,} of {self.run.n:,} samples, ranked by {self.score}"
        if not self.unknown:
            return text
        rows = "row" if len(self.unknown) == 1 else "rows"
        names = ", ".join(key[:40] for key in self.unknown[:SHOWN])
        more = ", ..." if len(self.unknown) > SHOWN else ""
        return f"{text}; {len(self.unknown):,} {rows} without a sample: {names}{more}"


@access.acts("import", lambda pool_name, path, *_, **__: f"{pool_name} from {path.name}")
def import_scores(
    pool_name: str,
    path: Path,
    key: str,
    score: str = "",
    label: str = "",
    order: Literal["higher", "lower"] = "higher",
) -> Imported:
    """Store the numbers of a file as a run of the pool. The same file again changes nothing.

    Args:
        pool_name: the pool.
        path: CSV, TSV, Parquet or JSON lines.
        key: a column that the file and the pool's records share, or `sample_id`.
        score: the column to rank by; by default `score`, or the only column of numbers.
        label: the name that people read; the file's by default.
        order: whether a higher or a lower score is chosen first.

    Raises:
        PoolError: the pool is unknown, a query set, or cannot be joined by this key.
        RecordError: the file cannot be read, lacks a column, names a sample twice, or has no
            row that belongs to a sample.
    """
    began = time.monotonic()
    table = read(path, key, score)
    pool, own, n_chars = _pool(pool_name, key)
    row = _rows(own, table, key, pool_name, path)
    file = path.name.encode("utf8", "replace").decode()
    method = build(
        "external",
        {"label": label or file[:80], "file": file, "score_column": table.score, "order": order},
    )
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    facts = {"name": file, "sha256": digest, "key": key, "rows": len(table.keys)}
    run = _store(pool, method, facts, _columns(pool, n_chars, table, row), began)
    known = set(own)
    unknown = tuple(k for k in table.keys if k not in known)
    return Imported(run, table.column, int((row >= 0).sum()), unknown)


def _pool(name: str, key: str) -> tuple[Pool, list[str], IntN]:
    """The pool, the key of each sample, "" where its record has none, and its characters.

    Raises:
        PoolError: there is no such pool of samples, or no record has the key.
    """
    with store.connect() as con:
        pool = pools.get_pool(con, name)
        if pool.kind != "pool" or not len(pool):
            what = "is a query set" if pool.kind != "pool" else "holds no samples"
            raise PoolError(name, what, do="Choose a pool of samples: sftlens pools.")
        n_chars = pools.response_chars(con, name)
        if key == SAMPLE_ID:
            return pool, list(pool.sample_ids), n_chars
        own = [key_text(value) for value in pools.meta_column(con, name, key)]
        if not any(own):
            do = f"Join by one of: {', '.join([SAMPLE_ID, *pools.meta_names(con, name)])}."
            raise PoolError(name, f"its records have no column {key!r}", do=do)
    return pool, own, n_chars


def _rows(own: Sequence[str], table: Table, key: str, pool: str, path: Path) -> IntN:
    """The row of each sample, -1 where there is none; (n,).

    Raises:
        PoolError: a row belongs to two samples.
        RecordError: no row belongs to a sample.
    """
    at = {text: k for k, text in enumerate(table.keys)}
    row = np.array([at.get(text, -1) if text else -1 for text in own], np.int64)
    times = Counter(row[row >= 0].tolist())
    if not times:
        do = f"A sample has e.g. {next(k for k in own if k)!r}; join by another column: --key."
        raise RecordError(path, f"no row has the {key} of a sample", got=table.keys[0], do=do)
    twice, n = times.most_common(1)[0]
    if n > 1:
        do = f"Join by another column: --key COLUMN, or --key {SAMPLE_ID}."
        raise PoolError(pool, f"{n} of its samples have this {key}", got=table.keys[twice], do=do)
    return row


def _columns(pool: Pool, n_chars: IntN, table: Table, row: IntN) -> dict[str, NDArray[Any]]:
    """What every method gets, and the numbers in pool order, NaN where a sample has no row."""
    there = row >= 0
    numbers = {
        name: np.where(there, column[np.where(there, row, 0)], np.nan)
        for name, column in table.numbers.items()
    }
    own = {"id_hash": id_hash(pool.sample_ids), "n_chars": n_chars, "matched": there}
    return numbers | own


def _store(
    pool: Pool, method: Method, facts: Mapping[str, Any], x: Arrays, began: float
) -> stored.Run:
    """Store the scores as a run, keyed by pool, parameters and the file's content."""
    params = method.model_dump()
    shaped_by = ["external", method.version, params, facts["sha256"], facts["key"]]
    scores = method.score(x)
    run = stored.Run(
        content_hash([*shaped_by, pool.name, pool.fingerprint]),
        pool.name,
        pool.fingerprint,
        method.name,
        params,
        {
            "model": "",
            "base": {"name": params["label"]},
            "precision": "imported",
            "file": dict(facts),
            "versions": runs.versions(),
        },
        len(pool),
        int(np.isfinite(scores.value).sum()),
        time.monotonic() - began,
    )
    with store.connect(write=True, lasts_s=len(pool) / stored.IN_A_SECOND) as con:
        with_columns = replace(scores, diagnostics={**x, **scores.diagnostics})
        stored.add_run(con, run, pool.sample_ids, with_columns)
    return run
