"""Files of scores -> a key and numbers for each row: CSV, TSV, Parquet, JSON lines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from core.columns import Record, as_text
from core.domain import FloatN
from core.errors import RecordError
from core.readers import records

MISSING = {"", "na", "n/a", "nan", "none", "null"}
MOST_COLUMNS = 1000  # of a file: each is a column of the store
TAKEN = {  # names that a run's table or a recipe uses itself
    *("position", "sample_id", "value", "group_no", "reason", "score", "source"),
    *("matched", "id_hash", "n_chars"),
}


@dataclass(frozen=True)
class Table:
    """A file of scores: one key a row, and the columns of numbers under safe names."""

    keys: tuple[str, ...]
    numbers: dict[str, FloatN]
    score: str  # the column to rank by, under its safe name
    column: str  # and under its own


def read(path: Path, key: str, score: str = "") -> Table:
    """Read a file of scores.

    Args:
        path: the file.
        key: the column that says which sample a row belongs to.
        score: the column to rank by; by default `score`, or the only column of numbers.

    Raises:
        RecordError: it cannot be read or has no rows, a column is missing, a key is empty or
            stands there twice, or a score is text.
    """
    rows = _Rows(path, key)
    for record in records(path):
        rows.add(record)
    names = list(rows.found)
    if not rows.where:
        raise RecordError(path, "holds no rows", do="Give one row a sample.")
    if key not in names:
        do = f"Its columns are {', '.join(names)}; name one that the pool has too: --key COLUMN."
        raise RecordError(path, f"has no column {key!r}", do=do)
    _check_keys(key, rows.keys, rows.where)
    numeric = [n for n, column in rows.found.items() if n != key and _is_numeric(column)]
    chosen = _chosen(path, score, names, numeric, key)
    if chosen not in numeric:
        where, got = rows.odd.get(chosen, (rows.where[0], rows.first.get(chosen)))
        do = "Give numbers, or name another column: --score COLUMN."
        raise RecordError(where, f"its {chosen} is not a number", got=got, do=do)
    safe = _safe_names(path, numeric)
    return Table(
        tuple(rows.keys),
        {safe[n]: np.array(rows.found[n], np.float64) for n in numeric},
        safe[chosen],
        chosen,
    )


class _Rows:
    """What is kept of a file of scores: keys and numbers, so that it may hold long texts, too."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self.where: list[str] = []
        self.keys: list[str] = []
        self.found: dict[str, list[float | None]] = {}  # None where a cell is no number
        self.odd: dict[str, tuple[str, object]] = {}  # the first such cell of each column
        self.first: Mapping[str, object] = {}

    def add(self, record: Record) -> None:
        """Take the next row.

        Raises:
            RecordError: it is broken, or the file has too many columns.
        """
        if record.fault:
            raise RecordError(record.where, record.fault, do="Mend or remove this row.")
        for name in record.row:
            self.found.setdefault(name, [np.nan] * len(self.where))
        if len(self.found) > MOST_COLUMNS:  # rows of a column each would need rows times columns
            do = "Keep the key and the scores."
            raise RecordError(self._path, f"has more than {MOST_COLUMNS:,} columns", do=do)
        self.first = self.first if self.where else record.row
        self.where.append(record.where)
        self.keys.append(key_text(record.row.get(self._key)))
        for name, column in self.found.items():
            value = record.row.get(name)
            column.append(number := _number(value))
            if number is None:
                shown = value[:200] if isinstance(value, str) else value
                self.odd.setdefault(name, (record.where, shown))


def key_text(value: object) -> str:
    """A key as text, the same for the numbers 7 and 7.0; "" where there is none."""
    return (as_text(value) or "").strip()


def _check_keys(key: str, keys: Sequence[str], where: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for text, place in zip(keys, where, strict=True):
        if not text:
            raise RecordError(place, f"its {key} is empty", do="Fill it, or remove the row.")
        if text in first:
            what = f"its {key} stands in {first[text]} already"
            raise RecordError(place, what, got=text, do="Keep one row a sample.")
        first[text] = place


def _number(value: object) -> float | None:
    """A cell as a number, NaN where it is missing, None where it is something else."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return np.nan
    try:
        if isinstance(value, int | float | Decimal):
            return float(value)
        # float() would take "1_000"
        return float(value) if isinstance(value, str) and "_" not in value else None
    except (ValueError, OverflowError):
        return None


def _is_numeric(column: Sequence[float | None]) -> bool:
    return None not in column and not all(value != value for value in column)


def _chosen(path: Path, score: str, names: Sequence[str], numeric: Sequence[str], key: str) -> str:
    """The column to rank by."""
    if score:
        if score == key or score not in names:
            do = f"Its columns are {', '.join(n for n in names if n != key) or 'none'}."
            raise RecordError(path, f"has no column {score!r} of scores", do=do)
        return score
    if "score" in names and key != "score":
        return "score"
    if len(numeric) == 1:
        return numeric[0]
    if numeric:
        do = f"Name one: --score COLUMN, of {', '.join(numeric)}."
        raise RecordError(path, "has more than one column of numbers", do=do)
    do = f"Give one beside {key!r}; its columns are {', '.join(names)}."
    raise RecordError(path, "has no column of numbers", do=do)


def _safe_names(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Each column's name in the store: lower-case letters, digits and _, not one in use."""
    safe: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        plain = plain if plain[:1].isalpha() else f"column_{plain}".strip("_")
        plain += "_" if plain in TAKEN else ""
        other = next((n for n, taken in safe.items() if taken == plain), None)
        if other is not None:
            what = f"its columns {other!r} and {name!r} would both be named {plain}"
            raise RecordError(path, what, do="Rename one of them.")
        safe[name] = plain
    return safe
