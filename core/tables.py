"""Tables -> raw records: CSV, TSV and Parquet."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core import config
from core.columns import Record, encoding_fault
from core.errors import RecordError
from core.streams import check_share, lines, too_long

if TYPE_CHECKING:
    import pyarrow as pa


def table(path: Path, stream: TextIO, delimiter: str) -> Iterator[Record]:
    """Rows of a CSV or TSV file, one at a time, with their exact text."""
    csv.field_size_limit(2**31 - 1)  # of the whole process; its default refuses long texts
    taken = _Taken(path, stream)
    cells = csv.reader(taken, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        where, fault, row = f"{path}:{cells.line_num + 1}", "", []
        taken.begin()
        try:
            row = next(cells)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"is not {delimiter!r}-separated: {error}"
        raw = "".join(taken.lines).rstrip("\r\n")
        if not raw.strip():
            continue
        if not header:
            header = _header(where, row, fault)
        else:
            yield _table_record(where, raw, header, row, fault)


class _Taken:
    """The lines of a table, and which of them belong to the present row."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path, self._left, self._most = path, lines(path, stream), config.longest_record()
        self.begin()

    def begin(self) -> None:
        """The next line begins a row."""
        self.lines: list[str] = []
        self._size = 0

    def __iter__(self) -> "_Taken":
        return self

    def __next__(self) -> str:
        line = next(self._left)
        self.lines.append(line)
        self._size += len(line)
        if self._size > self._most:  # a quote that is never closed takes the rest of the file
            raise too_long(str(self._path), self._most)
        return line


def _header(where: str, cells: Sequence[str], fault: str) -> list[str]:
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
    fault = fault or encoding_fault("".join(names))
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
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            check_share(path, sum(file.metadata.row_group(k).total_byte_size for k in groups))
            for batch in file.iter_batches(batch_size=1000):
                for row, fault in _rows(batch):
                    number += 1
                    yield _parquet_record(f"{path}:record {number}", row, fault)
    except RecordError:
        raise
    except Exception as fault:  # a damaged file makes pyarrow raise errors of a dozen kinds
        what = "is not a Parquet file that can be opened"
        raise RecordError(path, what, got=str(fault), do="Fetch or write it again.") from fault


def _parquet_record(where: str, row: dict[str, Any], fault: str) -> Record:
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
