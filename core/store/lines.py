"""The lines of the journal: what one is, which can be read, and which of them count."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

NAME = "journal.jsonl"
Kind = Literal["import", "run", "map", "recipe", "review"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KEYS: Mapping[str, tuple[str, ...]] = {  # what a line speaks of; a review is always another one
    "run": ("run_id",),
    "map": ("map_id",),
    "recipe": ("name", "version"),
}
HAS: Mapping[str, Mapping[str, type]] = {  # what a line cannot do without
    "import": {"pool": str, "kind": str, "start": int, "n": int, "before": str, "after": str},
    "run": {"run_id": str, "pool": str, "fingerprint": str, "card": dict},
    "map": {"map_id": str, "pool": str, "fingerprint": str, "source": dict},
    "recipe": {"name": str, "version": int},
    "review": {"pool": str, "sample_id": str},
}


@dataclass(frozen=True)
class Line:
    """One write: its kind, and the row as plain values."""

    kind: Kind
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for two lines of which the later one counts; reviews have every value in it."""
        names = KEYS.get(self.kind, sorted(self.facts))
        return (self.kind, *(self.facts.get(name) for name in names))


def lines(place: Path) -> tuple[list[Line], int]:
    """The lines of a folder's journal in order, and how many cannot be read."""
    try:
        content = (place / NAME).read_bytes()
    except FileNotFoundError:
        return [], 0
    found = [_line(text) for text in content.split(b"\n") if text.strip()]
    return [line for line in found if line is not None], found.count(None)


def _line(text: bytes) -> Line | None:
    try:
        [(kind, facts)] = json.loads(text).items()
    except (ValueError, AttributeError, RecursionError):
        return None
    return Line(kind, facts) if kind in KINDS and _has(facts, HAS[kind]) else None


def _has(facts: object, needed: Mapping[str, type]) -> bool:
    """Whether a line has what it cannot do without; the values of its key can be compared."""
    if not isinstance(facts, dict):
        return False
    plain = all(isinstance(v, str | int | float | None) for v in facts.values())
    right = all(isinstance(facts.get(name), kind) for name, kind in needed.items())
    return right and (plain or dict in needed.values())


def told(found: Sequence[Line]) -> list[Line]:
    """The lines that count, in order.

    Of two with one key the later one does. An import takes the place of those that began where it
    begins, or behind: they were never committed, or the store was put back to an older state.
    """
    last = {line.key: k for k, line in enumerate(found)}
    counted: list[Line | None] = []
    for number, line in enumerate(found):
        if line.kind == "import":
            counted = [None if _voids(line, old) else old for old in counted]
        counted.append(line if line.kind == "review" or last[line.key] == number else None)
    return [line for line in counted if line is not None]


def _voids(new: Line, old: Line | None) -> bool:
    if old is None or old.kind != "import" or old.facts["pool"] != new.facts["pool"]:
        return False
    return bool(old.facts["start"] >= new.facts["start"])
