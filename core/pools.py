"""Files -> a pool in the store, with books that balance."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO

from core import access, config, files, records, store
from core.domain import Pool, PoolKind, Quarantined, Sample
from core.errors import PoolError, RecordError
from core.progress import Progress
from core.store import pools
from core.store.copies import PACKED

BATCH = 4096  # samples held in memory at a time
BATCH_CHARS = 64 * 10**6  # of their records, unless one alone has more
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


@access.acts("import", lambda paths, name, *_, **__: name)
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

    Samples are spooled to a Parquet file first, and the store is locked only for the insert; for
    a long one, only at its end.
    A record that cannot become a sample goes unchanged, with `path:line` and the reason, into
    `quarantine/<pool>-<n>.jsonl` beside the store.

    Raises:
        RecordError: a file cannot be read, or nothing in it can become a sample.
        PoolError: the name is taken by a pool of the other kind, or is not a name.
    """
    _check_names(name, paths)
    config.check_writable()
    books = Books()
    spool = config.folder("spool") / f"import-{files.owner()}-{threading.get_ident()}.parquet"
    rejected = spool.with_suffix(".jsonl")
    _sweep(spool.parent)
    try:
        with rejected.open("w", encoding="ascii", newline="\n") as aside:
            progress = progress or Progress(quiet=True)
            samples = _write_spool(spool, _sources(paths, mapping, limit, books, aside, progress))
        if books.read and books.quarantined == books.read:
            what = f"no record could become a sample; first: {books.first_quarantined[0]}"
            raise RecordError(paths[0], what, do="Mend the file, or name its columns with --map.")
        with store.connect(write=True, lasts_s=samples / pools.IN_A_SECOND) as con:
            added = pools.add_pool(con, name, kind, spool)
        books.quarantine_file = _kept(name, rejected) if books.quarantined else None
    except OSError as error:
        raise config.unwritable(error) from error
    finally:
        spool.unlink(missing_ok=True)
        rejected.unlink(missing_ok=True)
    books.imported, books.duplicates = added.imported, added.duplicates
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
    for path in folder.glob("import-*"):
        with suppress(OSError):
            if not files.is_ours(path) and time.time() - path.stat().st_mtime > LEFT_S:
                path.unlink()


def _sources(
    paths: Sequence[Path],
    mapping: Mapping[str, str] | None,
    limit: int | None,
    books: Books,
    aside: IO[str],
    progress: Progress,
) -> Iterator[list[Sample]]:
    """Samples of all files in batches; counts every record, and puts aside what is none."""
    batch: list[Sample] = []
    held = 0
    for path in paths:
        with progress.stage(f"reading {path.name}", 0, "records") as stage:
            for item in islice(records.read(path, mapping), limit):
                books.read += 1
                stage.advance()
                if isinstance(item, records.Read):
                    books.shapes[item.shape] += 1
                    batch.append(item.sample)
                    held += len(item.sample.record)
                else:
                    _put_aside(item, books, aside)
                if len(batch) == BATCH or held > BATCH_CHARS:
                    yield batch
                    batch, held = [], 0
    if batch:
        yield batch


def _write_spool(spool: Path, batches: Iterator[list[Sample]]) -> int:
    """Write the batches as one Parquet file, empty when there are none; how many samples."""
    import pyarrow.parquet as pq

    first = 0
    schema = pools.arrow_batch([], 0).schema
    with pq.ParquetWriter(spool, schema, **PACKED) as writer:
        for batch in batches:
            writer.write_table(pools.arrow_batch(batch, first))
            first += len(batch)
    return first


def _put_aside(item: Quarantined, books: Books, aside: IO[str]) -> None:
    """One JSON line, the raw text unchanged."""
    books.quarantined += 1
    if len(books.first_quarantined) < 3:
        books.first_quarantined.append(f"{item.where}: {item.reason}")
    line = {"where": item.where, "reason": item.reason, "record": item.raw}
    aside.write(json.dumps(line) + "\n")  # ASCII: broken bytes survive as escapes


def _kept(name: str, rejected: Path) -> Path:
    """Give what was put aside its place: a new file for each import."""
    folder = config.folder("quarantine")
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    for number in count(1):
        path = folder / f"{stem}-{number}.jsonl"
        with suppress(FileExistsError):
            path.touch(exist_ok=False)  # taken: another import may look for a name, too
            return rejected.replace(path)
    raise AssertionError("numbers do not end")
