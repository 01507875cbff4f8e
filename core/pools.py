"""Files -> a pool in the store, with books that balance."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from core import config, files, records, store
from core.domain import Pool, PoolKind, Quarantined, Sample
from core.errors import PoolError, RecordError
from core.progress import Progress
from core.store import pools
from core.store.copies import PACKED

BATCH = 4096  # samples held in memory at a time
LEFT_S = 86_400.0  # a spool file of another machine this old belongs to a killed import


@dataclass
class Books:
    """What became of every record: read = imported + duplicates + quarantined."""

    read: int = 0
    imported: int = 0
    duplicates: int = 0
    quarantined: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    first_quarantined: list[str] = field(default_factory=list)
    quarantine_file: Path | None = None

    def sentence(self) -> str:
        """`read 999 = imported 990 + duplicates 8 + quarantined 1`."""
        return (
            f"read {self.read:,} = imported {self.imported:,} + duplicates {self.duplicates:,}"
            f" + quarantined {self.quarantined:,}"
        )


@dataclass(frozen=True)
class Preview:
    """The first samples of a file and the shapes of its first records."""

    shapes: Mapping[str, int]
    samples: Sequence[Sample]


def preview(path: Path, mapping: Mapping[str, str] | None, samples: int = 3) -> Preview:
    """Look at the first 100 records without importing anything.

    Raises:
        RecordError: the file cannot be read as records.
    """
    shapes: Counter[str] = Counter()
    shown: list[Sample] = []
    for number, item in enumerate(records.read(path, mapping)):
        if number == 100:
            break
        if isinstance(item, records.Read):
            shapes[item.shape] += 1
            shown += [item.sample] if len(shown) < samples else []
    return Preview(dict(shapes), shown)


def import_files(
    paths: Sequence[Path],
    name: str,
    kind: PoolKind = "pool",
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> tuple[Books, Pool]:
    """Read files into a pool, new or extended; all of it or nothing is added.

    `limit` reads only the first records of each file.

    Samples are spooled to a Parquet file first, so the store is locked only for the insert.
    A record that cannot become a sample goes unchanged, with `path:line` and the reason, into
    `quarantine/<pool>-<n>.jsonl` beside the store.

    Raises:
        RecordError: a file cannot be read, or nothing in it can become a sample.
        PoolError: the name is taken by a pool of the other kind, or is not a name.
    """
    _check_names(name, paths)
    config.check_writable()
    books = Books()
    rejected: list[Quarantined] = []
    spool = config.folder("spool") / f"import-{files.owner()}.parquet"
    _sweep(spool.parent)
    try:
        sources = _sources(paths, mapping, limit, books, rejected, progress or Progress(quiet=True))
        _write_spool(spool, sources)
        if books.read and books.quarantined == books.read:
            what = f"no record could become a sample; first: {books.first_quarantined[0]}"
            raise RecordError(paths[0], what, do="Mend the file, or name its columns with --map.")
        with store.connect(write=True) as con:
            added = pools.add_pool(con, name, kind, spool)
    except OSError as error:
        raise config.unwritable(error) from error
    finally:
        spool.unlink(missing_ok=True)
    books.imported, books.duplicates = added.imported, added.duplicates
    books.quarantine_file = _write_quarantine(name, rejected)
    return books, added.pool


def _check_names(name: str, paths: Sequence[Path]) -> None:
    plain = name.isprintable() and not any(c in name for c in "/\\") and name == name.strip()
    if not name or len(name) > 80 or not plain or name.startswith("-"):
        raise PoolError("--pool", "is not a name", got=name, do="Use up to 80 plain characters.")
    for path in paths:
        if any("\udc80" <= c <= "\udcff" for c in path.name):  # it may be the samples' source
            raise RecordError(path, "its name is not valid UTF-8", do="Rename the file.")


def _sweep(folder: Path) -> None:
    """Remove what killed imports left; that of another machine once it is a day old."""
    files.sweep(folder)
    for path in folder.glob("import-*.parquet"):
        with suppress(OSError):
            if not files.is_ours(path) and time.time() - path.stat().st_mtime > LEFT_S:
                path.unlink()


def _sources(
    paths: Sequence[Path],
    mapping: Mapping[str, str] | None,
    limit: int | None,
    books: Books,
    rejected: list[Quarantined],
    progress: Progress,
) -> Iterator[list[Sample]]:
    """Samples of all files in batches; counts every record on the way."""
    batch: list[Sample] = []
    for path in paths:
        with progress.stage(f"reading {path.name}", 0, "records") as stage:
            for item in islice(records.read(path, mapping), limit):
                books.read += 1
                stage.advance()
                if isinstance(item, records.Read):
                    books.shapes[item.shape] += 1
                    batch.append(item.sample)
                else:
                    books.quarantined += 1
                    rejected.append(item)
                    if len(books.first_quarantined) < 3:
                        books.first_quarantined.append(f"{item.where}: {item.reason}")
                if len(batch) == BATCH:
                    yield batch
                    batch = []
    if batch:
        yield batch


def _write_spool(spool: Path, batches: Iterator[list[Sample]]) -> None:
    """Write the batches as one Parquet file; an empty one when there are none."""
    import pyarrow.parquet as pq

    first = 0
    schema = pools.arrow_batch([], 0).schema
    with pq.ParquetWriter(spool, schema, **PACKED) as writer:
        for batch in batches:
            writer.write_table(pools.arrow_batch(batch, first))
            first += len(batch)


def _write_quarantine(name: str, rejected: Sequence[Quarantined]) -> Path | None:
    """One JSON line a record, the raw text unchanged; a new file for each import."""
    if not rejected:
        return None
    folder = config.folder("quarantine")
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    names = (folder / f"{stem}-{number}.jsonl" for number in count(1))
    path = next(path for path in names if not path.exists())
    with files.whole(path) as part, part.open("w", encoding="utf8", newline="\n") as out:
        for item in rejected:
            line = {"where": item.where, "reason": item.reason, "record": item.raw}
            out.write(json.dumps(line) + "\n")  # ASCII: broken bytes survive as escapes
    return path
