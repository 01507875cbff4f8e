"""Files -> raw records: JSONL, a JSON array, CSV, TSV and Parquet, packed or not.

The first bytes choose the reader where they can, the name where they cannot. Text is decoded
with surrogateescape, so that a broken record can be written back byte for byte.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from core.columns import Record, encoding_fault
from core.errors import RecordError
from core.streams import is_packed, lines, open_text
from core.tables import parquet, table

_LINES, _TABLES = (".jsonl", ".ndjson"), {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".gz", ".json", ".parquet", *_LINES, *_TABLES)
_MARKS = {  # longest first: the mark of UTF-32 LE begins with that of UTF-16 LE
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SAVE = "Save it as UTF-8 JSONL, a JSON array, Parquet, CSV or TSV."
_HEAD = 4096  # bytes
_SPREAD = re.compile(r"\s*(\[[ \t]*[\r\n]|\{\s*[\r\n]\s*\")")  # a first line that is a bracket


def records(path: Path) -> Iterator[Record]:
    """The raw records of a file, in order.

    Raises:
        RecordError: the file cannot be read, or is none of the formats.
    """
    try:
        form = _form(path)
        if form == "parquet":
            yield from parquet(path)
        else:
            with open_text(path) as stream:
                yield from _READERS[form](path, stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
        do = "Fetch or pack it again."
        raise RecordError(path, "is a broken gzip file", got=str(fault), do=do) from fault
    except OSError as fault:
        what = f"cannot be read: {fault.strerror or fault}"
        raise RecordError(path, what, do="Check the path and its permissions.") from fault


def _form(path: Path) -> str:
    """The format of a file: parquet, lines, array, .csv or .tsv."""
    if not path.exists():
        raise RecordError(path, "there is no such file", do="Check the path.")
    if path.is_dir():
        raise RecordError(path, "is a folder", do="Name one file in it.")
    if not path.is_file():  # a device never ends, and a pipe can be read only once
        raise RecordError(path, "is not a plain file", do="Write it to a file first.")
    packed = is_packed(path)
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
    if suffix not in SUFFIXES:
        raise RecordError(path, "is of a kind I cannot read", got=suffix, do=_SAVE)
    raise RecordError(path, f"is not {suffix[1:]}, although its name says so", do=_SAVE)


# int() refuses more than 4,300 digits; such a number stays text
_JSON = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 21 else digits)
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def _lines(path: Path, stream: TextIO) -> Iterator[Record]:
    for number, line in enumerate(lines(path, stream), 1):
        raw, where = line.rstrip("\r\n"), f"{path}:{number}"
        if not raw.strip():
            continue
        try:
            yield _json_record(where, raw, _JSON.decode(raw))
        except (ValueError, RecursionError) as fault:
            yield Record(where, raw, fault=_json_fault(raw, fault))


def _array(path: Path, stream: TextIO) -> Iterator[Record]:
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
            yield Record(f"{path}:{line}", text[at:], fault=_json_fault(text[at:], fault))
            return
        yield _json_record(f"{path}:{line}", text[at:end], value)
        at = _skip(text, end)
    line, rest = line + _line_ends(text, seen, at), text[at + 1 :]
    if inside and at == len(text):
        yield Record(f"{path}:{line}", "", fault="the array is not closed; the file may be cut")
    elif rest.strip():
        yield Record(f"{path}:{line}", rest, fault="stands after the end of the array")


def _skip(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _line_ends(text: str, start: int, end: int) -> int:
    count = text.count("\n", start, end)
    returns = text.count("\r", start, end)
    return count + returns - text.count("\r\n", start, end) if returns else count


def _json_record(where: str, raw: str, value: object) -> Record:
    fault = encoding_fault(raw)
    if not fault and not isinstance(value, dict):
        fault = "is not a JSON object"
    # half a pair can only come from an escape: the bytes of one are not valid UTF-8
    if not fault and ("\\ud" in raw or "\\uD" in raw):
        fault = _half_pair(value)
    return Record(where, raw, {} if fault else cast(dict[str, Any], value), fault, raw)


def _half_pair(value: object) -> str:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except RecursionError:
        return "is nested too deeply"
    return ""


def _json_fault(raw: str, fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "is nested too deeply"
    return encoding_fault(raw) or f"is not JSON: {getattr(fault, 'msg', fault)}"


_READERS: Mapping[str, Callable[[Path, TextIO], Iterator[Record]]] = {
    "lines": _lines,
    "array": _array,
    **{suffix: partial(table, delimiter=delimiter) for suffix, delimiter in _TABLES.items()},
}
