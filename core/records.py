"""Files of records -> samples. One record in is exactly one thing out: a sample or a reason.

Formats: JSONL, a JSON array, Parquet, CSV, TSV; all but Parquet also gzipped. The first bytes
choose where they can, the name where they cannot. Text is UTF-8, decoded with surrogateescape
so that a broken record can be written back byte for byte. Everything but an array streams.
"""

import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from core.domain import Quarantined, Sample
from core.errors import RecordError
from core.shapes import SHAPES, Parts, Rejected, Shape, by_name, convert, find, mapped

if TYPE_CHECKING:
    import pyarrow as pa

_LINES, _TABLES = (".jsonl", ".ndjson"), {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (".gz", ".json", ".parquet", *_LINES, *_TABLES)
_MARKS = {  # longest first: the mark of UTF-32 LE begins with that of UTF-16 LE
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SAVE = "Save it as UTF-8 JSONL, a JSON array, Parquet, CSV or TSV."
_MAP = "Name the columns: --map instruction=COLUMN --map response=COLUMN."
_TRIED = 20  # unbroken records that may all be without a known shape before a file is refused
_HEAD = 4096  # bytes
_SPREAD = re.compile(r"\s*(\[[ \t]*[\r\n]|\{\s*[\r\n]\s*\")")  # a first line that is a bracket


@dataclass(frozen=True, slots=True)
class Read:
    """A sample, and the name of the shape its record had."""

    sample: Sample
    shape: str


@dataclass(frozen=True, slots=True)
class _Record:
    where: str
    raw: str  # as it stands in the file
    row: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""  # why it has no row
    text: str = ""  # as JSON


def read(
    path: Path, mapping: Mapping[str, str] | None = None, source: str | None = None
) -> Iterator[Read | Quarantined]:
    """Give every record of a file, in order, as a sample or as a reason why it is none.

    Args:
        path: a file; see the module for its formats.
        mapping: part of a sample -> column, among `core.shapes.MAPPABLE`.
        source: the source of every sample; by default the record's own, else the file's name.

    Raises:
        RecordError: at once when the file as a whole cannot be read, has no record, lacks a
            mapped column, or none of its first records has a known shape; while iterating
            when it turns out to be damaged further on.
    """
    shapes = (mapped(mapping),) if mapping else SHAPES
    first = _first_rows(path)
    for column in (mapping or {}).values():
        if first and not any(column.strip().lower() in by_name(r, nulls=True) for r in first):
            keys = ", ".join(dict.fromkeys(key for row in first for key in row))
            raise RecordError(path, f"has no column {column!r}", do=f"Its columns are {keys}.")
    if first and not any(find(row, shapes) for row in first):
        raise RecordError(path, "no record has a shape I know", got=list(first[0]), do=_MAP)
    stem = _stem(path)
    return (_outcome(record, shapes, source, stem) for record in _records(path))


def _first_rows(path: Path) -> list[Mapping[str, Any]]:
    """The first rows that are not broken; a file without any record is an error."""
    some, rows = False, []
    for record in _records(path):
        some = True
        rows += [] if record.fault else [record.row]
        if len(rows) == _TRIED:
            break
    if not some:
        raise RecordError(path, "holds no records", do="Choose a file with at least one record.")
    return rows


def _stem(path: Path) -> str:
    name = path.name
    while Path(name).suffix.lower() in _SUFFIXES:
        name = Path(name).stem
    return name


# record -> sample


def _outcome(
    record: _Record, shapes: Sequence[Shape], source: str | None, stem: str
) -> Read | Quarantined:
    try:
        if record.fault:
            raise Rejected(record.fault)
        shape, parts = convert(record.row, shapes)
        return Read(_sample(record, shape, parts, source, stem), shape.name)
    except Rejected as fault:
        return Quarantined(record.where, str(fault), record.raw)
    except RecursionError:
        return Quarantined(record.where, "is nested too deeply", record.raw)


def _sample(record: _Record, shape: Shape, parts: Parts, source: str | None, stem: str) -> Sample:
    meta: dict[str, Any] = {}
    own, used = parts.source, shape.used
    for key, value in record.row.items():
        name = key.strip().lower()
        if name == "source" and not (source or own) and isinstance(value, str) and value.strip():
            own = value
        elif name not in used and isinstance(value, str | int | float):
            meta[key] = _scalar(value)
    meta.update(parts.meta)
    return Sample(parts.turns, source or own or stem, parts.input, meta, record.text)


def _scalar(value: str | float) -> str | float | None:
    """A value that DuckDB and strict JSON hold: 64 bit, finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


# file -> records


def _records(path: Path) -> Iterator[_Record]:
    try:
        form = _form(path)
        if form == "parquet":
            yield from _parquet(path)
        else:
            with _open_text(path) as stream:
                yield from _READERS[form](path, stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
        do = "Fetch or pack it again."
        raise RecordError(path, "is a broken gzip file", got=str(fault), do=do) from fault
    except OSError as fault:
        what = f"cannot be read: {fault.strerror or fault}"
        raise RecordError(path, what, do="Check the path and its permissions.") from fault


def _is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _open_text(path: Path) -> TextIO:
    opener = gzip.open if _is_packed(path) else open
    # newline="": a line ends at \n, \r\n or \r and keeps its end; never at U+2028 or \x0b
    stream = opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return cast(TextIO, stream)


def _form(path: Path) -> str:
    """The format of a file: parquet, lines, array, .csv or .tsv."""
    if not path.exists():
        raise RecordError(path, "there is no such file", do="Check the path.")
    if path.is_dir():
        raise RecordError(path, "is a folder", do="Name one file in it.")
    packed = _is_packed(path)
    with gzip.open(path) if packed else path.open("rb") as stream:
        head = stream.read(_HEAD)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and not packed:
        raise RecordError(path, "is not gzip, although its name says so", do="Rename it.")
    if head.startswith(b"PAR1") and packed:
        raise RecordError(path, "is Parquet inside gzip", do="Unpack it; Parquet is packed itself.")
    named = [suffix for suffix in suffixes if suffix != ".gz"][-1:]
    return "parquet" if head.startswith(b"PAR1") else _text_form(path, head, "".join(named))


def _text_form(path: Path, head: bytes, suffix: str) -> str:
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            raise RecordError(path, f"is {name}; save it as UTF-8", do=_SAVE)
    text = head.decode("utf-8-sig", "surrogateescape")
    start = text.lstrip()[:1]
    odd = text.count("\0") + (0 if start in "[{" else sum("\udc80" <= c <= "\udcff" for c in text))
    if odd > len(text) / 4:
        raise RecordError(path, "is binary, or text in another encoding than UTF-8", do=_SAVE)
    if suffix in _TABLES:
        return suffix
    # laid out over many lines, whatever the name says
    if _SPREAD.match(text) or (start == "[" and suffix not in _LINES):
        return "array"
    if suffix in _LINES or start in ("{", ""):
        return "lines"
    if suffix not in _SUFFIXES:
        raise RecordError(path, "is of a kind I cannot read", got=suffix, do=_SAVE)
    raise RecordError(path, f"is not {suffix[1:]}, although its name says so", do=_SAVE)


# int() refuses more than 4,300 digits; such a number stays text
_JSON = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 21 else digits)
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def _lines(path: Path, stream: TextIO) -> Iterator[_Record]:
    for number, line in enumerate(stream, 1):
        raw, where = line.rstrip("\r\n"), f"{path}:{number}"
        if not raw.strip():
            continue
        try:
            yield _json_record(where, raw, _JSON.decode(raw))
        except (ValueError, RecursionError) as fault:
            yield _Record(where, raw, fault=_json_fault(raw, fault))


def _array(path: Path, stream: TextIO) -> Iterator[_Record]:
    """The objects of an array, or objects laid out one after another.

    Nobody can tell where a broken one ends, so it is one record with all that follows.
    """
    text = stream.read()
    at, seen, line = _skip(text, 0), 0, 1
    inside = text.startswith("[", at)
    at = _skip(text, at + inside)
    while at < len(text) and not (inside and text[at] == "]"):
        line, seen = line + _line_ends(text, seen, at), at
        try:
            value, end = _JSON.raw_decode(text, at)
        except (ValueError, RecursionError) as fault:
            yield _Record(f"{path}:{line}", text[at:], fault=_json_fault(text[at:], fault))
            return
        yield _json_record(f"{path}:{line}", text[at:end], value)
        at = _skip(text, end)
    line, rest = line + _line_ends(text, seen, at), text[at + 1 :]
    if inside and at == len(text):
        yield _Record(f"{path}:{line}", "", fault="the array is not closed; the file may be cut")
    elif rest.strip():
        yield _Record(f"{path}:{line}", rest, fault="stands after the end of the array")


def _skip(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _line_ends(text: str, start: int, end: int) -> int:
    count = text.count("\n", start, end)
    returns = text.count("\r", start, end)
    return count + returns - text.count("\r\n", start, end) if returns else count


def _json_record(where: str, raw: str, value: object) -> _Record:
    fault = _encoding_fault(raw)
    if not fault and not isinstance(value, dict):
        fault = "is not a JSON object"
    # half a pair can only come from an escape: the bytes of one are not valid UTF-8
    if not fault and ("\\ud" in raw or "\\uD" in raw):
        fault = _half_pair(value)
    return _Record(where, raw, {} if fault else cast(dict[str, Any], value), fault, raw)


def _half_pair(value: object) -> str:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except RecursionError:
        return "is nested too deeply"
    return ""


def _encoding_fault(raw: str) -> str:
    try:
        raw.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    return ""


def _json_fault(raw: str, fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "is nested too deeply"
    return _encoding_fault(raw) or f"is not JSON: {getattr(fault, 'msg', fault)}"


# tables


def _table(path: Path, stream: TextIO, delimiter: str) -> Iterator[_Record]:
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
) -> _Record:
    if not fault and len(cells) != len(header):
        fault = f"has {len(cells)} fields where the header has {len(header)}"
    fault = fault or _encoding_fault(raw)
    row = {} if fault else dict(zip(header, cells, strict=True))
    return _Record(where, raw, row, fault, json.dumps(row, ensure_ascii=False))


_READERS: Mapping[str, Callable[[Path, TextIO], Iterator[_Record]]] = {
    "lines": _lines,
    "array": _array,
    **{suffix: partial(_table, delimiter=delimiter) for suffix, delimiter in _TABLES.items()},
}


def _parquet(path: Path) -> Iterator[_Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for row, fault in _rows(batch):
                    number += 1
                    raw = json.dumps(row, ensure_ascii=False, default=str)
                    yield _Record(f"{path}:record {number}", raw, row, fault, raw)
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
