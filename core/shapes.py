"""The shapes a record may have, and how each becomes turns.

A shape is one row of `SHAPES`: the columns it needs and one small function. The first row
whose columns are all there wins, so the more specific shapes stand first. A function gets
the columns by lower-case name, null ones left out, and raises `Rejected` with a reason that
names the field. Turn text is never stripped or normalised.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.choices import ANSWERS, choice
from core.columns import (
    Columns,
    Parts,
    Rejected,
    blank,
    checked,
    filled,
    optional,
    system_turn,
    text_of,
)
from core.domain import Role, Turn
from core.errors import RecordError

ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "claude": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A name, the columns it needs (one of each tuple), those it may use, its conversion."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    may: tuple[str, ...]
    convert: Callable[[Columns], Parts]

    @property
    def used(self) -> frozenset[str]:
        """Every column the shape reads, so that it does not go to the sample's meta."""
        return frozenset(self.may).union(*self.needs)

    def missing(self, columns: Columns) -> list[tuple[str, ...]]:
        """The needs that no column meets."""
        return [need for need in self.needs if not any(name in columns for name in need)]


def by_name(row: Mapping[str, Any], *, nulls: bool = False) -> dict[str, Any]:
    """Columns by lower-case name; without null ones unless `nulls`. An exact name goes first."""
    columns: dict[str, Any] = {}
    for key, value in row.items():
        name = key.strip().lower()
        if (nulls or value is not None) and (key == name or name not in columns):
            columns[name] = value
    return columns


def find(row: Mapping[str, Any], shapes: Sequence[Shape]) -> Shape | None:
    """The first shape whose columns are all there; nulls count only when nothing else fits."""
    return _fitting(by_name(row), shapes) or _fitting(by_name(row, nulls=True), shapes)


def _fitting(columns: Columns, shapes: Sequence[Shape]) -> Shape | None:
    return next((shape for shape in shapes if not shape.missing(columns)), None)


def convert(row: Mapping[str, Any], shapes: Sequence[Shape]) -> tuple[Shape, Parts]:
    """Turn a record into the parts of a sample.

    Raises:
        Rejected: no shape fits, or the one that fits finds a fault.
    """
    columns = by_name(row)
    shape = _fitting(columns, shapes) or find(row, shapes)
    if shape is None:
        raise Rejected(f"has no shape I know: {_nearest(columns, shapes)}{_keys(row)}")
    parts = shape.convert(columns)
    spoken = [turn.role for turn in parts.turns if turn.role != "system"]
    for role in ("user", "assistant"):
        if role not in spoken:
            raise Rejected(f"has no {role} turn")
    if spoken[0] == "assistant":
        raise Rejected("starts with an assistant turn")
    return shape, parts


def _keys(row: Mapping[str, Any]) -> str:
    shown = ", ".join(repr(key) for key in row)
    return f"its keys are {shown if len(shown) <= 200 else shown[:200] + ' ...'}"


def _nearest(columns: Columns, shapes: Sequence[Shape]) -> str:
    """What the shape that almost fits lacks, or nothing where none is near."""
    lacks = [shape.missing(columns) for shape in shapes]
    near = [gap for gap, shape in zip(lacks, shapes, strict=True) if len(gap) < len(shape.needs)]
    return f"'{min(near, key=len)[0][0]}' is missing; " if near else ""


# conversations


def _conversation(columns: Columns) -> Parts:
    name = filled(columns, ("messages", "conversation", "conversations"))
    return Parts(_led(columns, _turns(columns[name], name)))


def _led(columns: Columns, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """A system column goes first, unless the conversation brings a system turn of its own."""
    return turns if turns and turns[0].role == "system" else (*system_turn(columns), *turns)


def _turns(value: object, name: str) -> tuple[Turn, ...]:
    if not isinstance(value, list):
        raise Rejected(f"'{name}' is not a list of turns")
    return tuple(_turn(item, f"turn {number} of '{name}'") for number, item in enumerate(value, 1))


def _turn(item: object, place: str) -> Turn:
    if not isinstance(item, dict):
        raise Rejected(f"{place} is not an object")
    columns = by_name(item)
    said_by = columns.get("role", columns.get("from"))
    if not isinstance(said_by, str):
        raise Rejected(f"{place} has no role")
    role = ROLES.get(said_by.lower())
    if role is None:
        raise Rejected(f"role {said_by[:40]!r} is not supported yet")
    content = columns.get("content", columns.get("value"))
    if content is None:
        raise Rejected(f"{place} has no content")
    if isinstance(content, list):
        content = "".join(_part(part, place) for part in content)
    # a system turn may be empty: that keeps a template from putting in its own
    empty = role == "system" and blank(content)
    return Turn(role, content if empty else checked(content, place))


def _part(part: object, place: str) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise Rejected(f"{place} has a content part without a type")
    if part["type"] != "text":
        raise Rejected(f"content part of type {part['type'][:40]!r} is not text")
    if not isinstance(part.get("text"), str):
        raise Rejected(f"{place} has a text part without text")
    return str(part["text"])


def _prompted(columns: Columns) -> Parts:
    prompt = _side(columns, "user", ("prompt",))
    completion = _side(columns, "assistant", ("completion", "response", "output"))
    return Parts(_led(columns, (*prompt, *completion)))


def _side(columns: Columns, role: Role, names: tuple[str, ...]) -> tuple[Turn, ...]:
    name = filled(columns, names)
    value = columns[name]
    return _turns(value, name) if isinstance(value, list) else (Turn(role, text_of(columns, name)),)


# one question, one answer


def _alpaca(columns: Columns, answers: Sequence[str] = ("output", "response")) -> Parts:
    instruction = text_of(columns, "instruction")
    extra = optional(columns, "input") or optional(columns, "context")  # Dolly says context
    earlier = tuple(_history(columns.get("history") or []))
    asked = Turn("user", f"{instruction}\n\n{extra}" if extra else instruction)
    answer = Turn("assistant", text_of(columns, *answers))
    # Sample.input must be the end of the *first* user turn, which a history takes away
    return Parts((*system_turn(columns), *earlier, asked, answer), "" if earlier else extra)


def _history(value: object) -> Iterator[Turn]:
    for pair in value if isinstance(value, list) else [None]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Rejected("'history' is not a list of [question, answer] pairs")
        yield Turn("user", checked(pair[0], "a question in 'history'"))
        yield Turn("assistant", checked(pair[1], "an answer in 'history'"))


_CLOSED = re.compile(r"[.!?,;:\u2026\u3002\uff01\uff1f\u061f][\"')\]\u2019\u201d]*$")


def _question(columns: Columns) -> Parts:
    question, body = text_of(columns, "question"), optional(columns, "body").rstrip()
    if body:
        question = f"{body}{'' if _CLOSED.search(body) else '.'} {question}"
    answer = Turn("assistant", text_of(columns, "answer"))
    return Parts((*system_turn(columns), Turn("user", question), answer))


SHAPES = (
    Shape("messages", (("messages", "conversation"),), ("system",), _conversation),
    Shape("sharegpt", (("conversations",),), ("system",), _conversation),
    Shape(
        "multiple choice",
        (("question",), ("options", "choices"), ANSWERS),
        ("system",),
        choice,
    ),
    Shape(
        "alpaca",
        (("instruction",), ("output", "response")),
        ("input", "context", "system", "history"),
        _alpaca,
    ),
    Shape(
        "prompt/completion",
        (("prompt",), ("completion", "response", "output")),
        ("system",),
        _prompted,
    ),
    Shape("question/answer", (("question",), ("answer",)), ("body", "system"), _question),
)

MAPPABLE = ("instruction", "input", "response", "system", "messages", "source", "id")


def mapped(mapping: Mapping[str, str]) -> Shape:
    """The shape for columns named by the user: part of a sample -> column.

    Parts that are not named come from no column, except that a missing instruction or
    response is looked for under its usual names.

    Raises:
        RecordError: a part that no sample has, or messages beside what they hold.
    """
    for part in mapping:
        if part not in MAPPABLE:
            do = f"Name one of {', '.join(MAPPABLE)}."
            raise RecordError(f"--map {part}", "is not a part of a sample", do=do)
    names = {part: column.strip().lower() for part, column in mapping.items()}
    needs: tuple[tuple[str, ...], ...]
    if "messages" in names:
        if names.keys() & {"instruction", "input", "response"}:
            do = "Name either messages, or instruction and response."
            raise RecordError("--map messages", "already holds instruction and response", do=do)
        needs = ((names["messages"],),)
    else:
        asked = names.setdefault("instruction", "instruction")
        needs = ((asked,), (names["response"],) if "response" in names else ("output", "response"))

    def convert(columns: Columns) -> Parts:
        usual = () if "response" in names else ("output", "response")
        view = {name: columns[name] for name in usual if name in columns}
        view |= {part: columns[name] for part, name in names.items() if name in columns}
        parts = _conversation(view) if "messages" in names else _alpaca(view, usual or ["response"])
        named = {"id": optional(view, "id")} if "id" in view else {}
        return Parts(parts.turns, parts.input, optional(view, "source"), named)

    return Shape("mapped", needs, tuple(names.values()), convert)
