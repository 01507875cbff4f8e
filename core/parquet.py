"""Parquet files -> raw records, as many in memory at a time as fit, or one."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import config, parquet_counts
from core.columns import Record
from core.errors import RecordError
from core.streams import BUFFER, check_share, too_long

if TYPE_CHECKING:
    import pyarrow as pa


def parquet(path: Path) -> Iterator[Record]:
    """Rows of a Parquet file.

    Raises:
        RecordError: the file is damaged, holds far more than its size, or a record is too long.
    """
    number, most = 0, config.longest_record()
    try:
        for batch in _batches(path, most):
            for row, fault in _rows(batch):
                number += 1
                record = _record(f"{path}:record {number}", row, fault)
                if len(record.raw) > most:
                    raise too_long(record.where, most)
                yield record
    except RecordError:
        raise
    except Exception as fault:  # a damaged file makes pyarrow raise errors of a dozen kinds
        what = "is not a Parquet file that can be opened"
        raise RecordError(path, what, got=str(fault), do="Fetch or write it again.") from fault


def _batches(path: Path, most: int) -> Iterator["pa.RecordBatch"]:
    """All rows in order, in batches that fit or of one row."""
    import pyarrow.parquet as pq

    # without these two a row group would be held, packed, as long as it is read
    opened: dict[str, Any] = {"buffer_size": BUFFER, "pre_buffer": False}
    with ExitStack() as files:
        file = files.enter_context(pq.ParquetFile(path, **opened))
        opened |= parquet_counts.opened(file.metadata)
        counter = parquet_counts.Counter(path, files.enter_context(pq.ParquetFile(path, **opened)))
        seen = number = 0
        for group in range(file.metadata.num_row_groups):
            rows = counter.together(group, number, most)
            for batch in file.iter_batches(rows, [group], use_threads=rows > 1):
                seen += batch.nbytes
                check_share(path, seen)
                for piece in _pieces(batch):
                    number += piece.num_rows
                    if piece.num_rows == 1 and piece.nbytes > most:
                        raise too_long(f"{path}:record {number}", most)
                    yield piece


def _pieces(batch: "pa.RecordBatch") -> Iterator["pa.RecordBatch"]:
    """The batch, or its rows one by one: as Python's values they take more than here."""
    if batch.nbytes <= parquet_counts.ROOM:
        yield batch
    else:
        yield from (batch.slice(row, 1) for row in range(batch.num_rows))


def _record(where: str, row: dict[str, Any], fault: str) -> Record:
    try:
        raw = json.dumps(row, ensure_ascii=False, default=str)
    except (RecursionError, ValueError, TypeError) as error:
        deep = isinstance(error, RecursionError)
        return Record(where, "", {}, "is nested too deeply" if deep else f"is no JSON: {error}")
    return Record(where, raw, row, fault, raw)


def _rows(batch: "pa.RecordBatch") -> list[tuple[dict[str, Any], str]]:
    try:
        return [(row, "") for row in batch.to_pylist()]
    except Exception:  # one unreadable cell spoils the batch: find it
        return [_row(batch, index) for index in range(batch.num_rows)]


def _row(batch: "pa.RecordBatch", index: int) -> tuple[dict[str, Any], str]:
    row, fault = {}, ""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[index].as_py()
        except Exception as error:  # a time zone, a date, a text: each fails in its own way
            undecoded = isinstance(error, UnicodeDecodeError)
            fault = "is not valid UTF-8" if undecoded else f"{name!r} cannot be read: {error}"
            row[name] = _bytes_of(column, index).decode("utf8", "surrogateescape")
    return row, fault


def _bytes_of(column: "pa.Array", index: int) -> bytes:
    """A cell that is no value of Python's, as it stands in the file where that can be had."""
    try:
        return bytes(column[index].as_buffer().to_pybytes())
    except Exception:  # only texts have a buffer, and an offset may be wrong
        return b"unreadable"
