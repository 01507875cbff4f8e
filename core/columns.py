"""Raw records, and their columns as text or the reason why they are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.domain import Turn

Columns = Mapping[str, Any]  # lower-case name -> value


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in a file: a row, or the fault that it has none."""

    where: str
    raw: str  # as it stands in the file
    row: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""  # why it has no row
    text: str = ""  # as JSON


@dataclass(frozen=True, slots=True)
class Parts:
    """What a shape takes from a record; `source` and `meta` only where the shape sets them."""

    turns: tuple[Turn, ...]
    input: str = ""
    source: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


class Rejected(Exception):
    """Why one record is not a sample; the message is a clause such as "'output' is empty"."""


def as_text(value: object) -> str | None:
    """Text as it is, a finite number or a truth value as JSON writes it (145.0 as "145")."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value) if isinstance(value, int) else None


def checked(value: object, name: str) -> str:
    """The value as text; refused when it is blank or no text, under the name it has."""
    text = as_text(value)
    if text is None:
        raise Rejected(f"{name} is neither text nor a number")
    if blank(text):
        raise Rejected(f"{name} is empty")
    return text


def filled(columns: Columns, names: Sequence[str]) -> str:
    """The first of `names` that is there and not blank, else the first that is there."""
    there = [name for name in names if name in columns]
    if not there:
        raise Rejected(f"'{names[0]}' is missing")
    return next((name for name in there if not blank(columns[name])), there[0])


def blank(value: object) -> bool:
    """Whether a value is text of nothing but spaces."""
    return isinstance(value, str) and not value.strip()


def text_of(columns: Columns, *names: str) -> str:
    """The text of the first of these columns that is filled."""
    name = filled(columns, names)
    return checked(columns[name], f"'{name}'")


def optional(columns: Columns, name: str) -> str:
    """The column as text, "" where it is missing or blank."""
    value = columns.get(name, "")
    return "" if blank(value) else checked(value, f"'{name}'")


def system_turn(columns: Columns) -> tuple[Turn, ...]:
    """The system column as a turn, where it is filled."""
    text = optional(columns, "system")
    return (Turn("system", text),) if text else ()


def encoding_fault(raw: str) -> str:
    """What keeps a text from being UTF-8, or "" ."""
    try:
        raw.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    return ""
