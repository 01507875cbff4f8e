"""Tables -> raw records: CSV and TSV."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from core import config
from core.columns import Record, encoding_fault
from core.errors import RecordError
from core.streams import lines, too_long


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
