"""Tables -> raw records: CSV, TSV and Parquet."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core.columns import Record, encoding_fault
from core.errors import RecordError

if TYPE_CHECKING:
    import pyarrow as pa


def table(path: Path, stream: TextIO, delimiter: str) -> Iterator[Record]:
    """Rows of a CSV or TSV file, one at a time, with their exact text."""
    csv.field_size_limit(2**31 - 1)  # of the whole process; its default refuses long texts
    taken: list[str] = []
    cells = csv.reader(_noted(stream, taken), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        where, fault, row = f"{path}:{cells.line_num + 1}", "", []
        taken.clear()
        try:
            row = next(cells)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"is not {delimiter!r}-separated: {error}"
        raw = "".join(taken).rstrip("\r\n")
        if not raw.strip():
            continue
        if not header:
            header = _header(where, row, fault)
        else:
            yield _table_record(where, raw, header, row, fault)


def _noted(stream: TextIO, taken: list[str]) -> Iterator[str]:
    for line in stream:
        taken.append(line)
        yield line


def _header(where: str, cells: Sequence[str], fault: str) -> list[str]:
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
    if fault or len(set(names)) < len(names):
        do = "Put one name per column on the first line, each only once."
        raise RecordError(where, "is not a header", got=fault or names, do=do)
    return names


def _table_record(
    where: str, raw: str, header: Sequence[str], cells: Sequence[str], fault: str
) -> Record:
    if not fault and len(cells) != len(header):
        fault = f"has {len(cells)} fields where the header has {len(header)}"
    fault = fault or encoding_fault(raw)
    row = {} if fault else dict(zip(header, cells, strict=True))
    return Record(where, raw, row, fault, json.dumps(row, ensure_ascii=False))


def parquet(path: Path) -> Iterator[Record]:
    """Rows of a Parquet file, a thousand in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for row, fault in _rows(batch):
                    number += 1
                    raw = json.dumps(row, ensure_ascii=False, default=str)
                    yield Record(f"{path}:record {number}", raw, row, fault, raw)
    except (pa.ArrowException, OSError) as fault:
        what = "is not a Parquet file that can be opened"
        raise RecordError(path, what, got=str(fault), do="Fetch or write it again.") from fault


def _rows(batch: "pa.RecordBatch") -> list[tuple[dict[str, Any], str]]:
    try:
        return [(row, "") for row in batch.to_pylist()]
    except (ValueError, OverflowError):  # one unreadable cell spoils the batch: find it
        return [_row(batch, index) for index in range(batch.num_rows)]


def _row(batch: "pa.RecordBatch", index: int) -> tuple[dict[str, Any], str]:
    row, fault = {}, ""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        cell = column[index]
        try:
            row[name] = cell.as_py()
        except (ValueError, OverflowError) as error:
            undecoded = isinstance(error, UnicodeDecodeError)
            fault = "is not valid UTF-8" if undecoded else f"{name!r} cannot be read: {error}"
            kept = cell.as_buffer().to_pybytes() if hasattr(cell, "as_buffer") else b"unreadable"
            row[name] = kept.decode("utf8", "surrogateescape")
    return row, fault
