"""Files -> raw records: JSONL, a JSON array, CSV, TSV and Parquet, packed or not.

The first bytes choose the reader where they can, the name where they cannot. Text is decoded
with surrogateescape, so that a broken record can be written back byte for byte.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TextIO

from core.columns import Record
from core.errors import RecordError
from core.json_records import json_array, json_lines
from core.parquet import parquet
from core.streams import is_packed, open_text
from core.tables import table

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


_READERS: Mapping[str, Callable[[Path, TextIO], Iterator[Record]]] = {
    "lines": json_lines,
    "array": json_array,
    **{suffix: partial(table, delimiter=delimiter) for suffix, delimiter in _TABLES.items()},
}
