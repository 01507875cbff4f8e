"""Files of records -> samples. One record in is exactly one thing out: a sample or a reason.

Formats: JSONL, a JSON array, Parquet, CSV, TSV; all but Parquet also gzipped. The first bytes
choose where they can, the name where they cannot. Text is UTF-8, decoded with surrogateescape
so that a broken record can be written back byte for byte. Everything streams.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.columns import Parts, Record, Rejected
from core.domain import Quarantined, Sample
from core.errors import RecordError, one_line
from core.readers import SUFFIXES, records
from core.shapes import SHAPES, Shape, by_name, convert, find, mapped

_MAP = "Name the columns: --map instruction=COLUMN --map response=COLUMN."
_TRIED = 20  # unbroken records that may all be without a known shape before a file is refused


@dataclass(frozen=True, slots=True)
class Read:
    """A sample, and the name of the shape its record had."""

    sample: Sample
    shape: str


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
    return (_outcome(record, shapes, source, stem) for record in records(path))


def _first_rows(path: Path) -> list[Mapping[str, Any]]:
    """The first rows that are not broken; a file without any record is an error."""
    some, rows = False, []
    for record in records(path):
        some = True
        rows += [] if record.fault else [record.row]
        if len(rows) == _TRIED:
            break
    if not some:
        raise RecordError(path, "holds no records", do="Choose a file with at least one record.")
    return rows


def _stem(path: Path) -> str:
    name = path.name
    while Path(name).suffix.lower() in SUFFIXES:
        name = Path(name).stem
    return name


# record -> sample


def _outcome(
    record: Record, shapes: Sequence[Shape], source: str | None, stem: str
) -> Read | Quarantined:
    try:
        if record.fault:
            raise Rejected(record.fault)
        shape, parts = convert(record.row, shapes)
        return Read(_sample(record, shape, parts, source, stem), shape.name)
    except Rejected as fault:
        return Quarantined(record.where, one_line(str(fault)), record.raw)
    except RecursionError:
        return Quarantined(record.where, "is nested too deeply", record.raw)


def _sample(record: Record, shape: Shape, parts: Parts, source: str | None, stem: str) -> Sample:
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
