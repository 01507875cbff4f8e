"""The shapes a record may have, and how each becomes turns.

A shape is one row of `SHAPES`: the columns it needs and one small function. The first row
whose columns are all there wins, so the more specific shapes stand first. A function gets
the columns by lower-case name, null ones left out, and raises `Rejected` with a reason that
names the field. Turn text is never stripped or normalised.
"""

import json
import math
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.domain import Role, Turn
from core.errors import RecordError

Columns = Mapping[str, Any]  # lower-case name -> value

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


class Rejected(Exception):
    """Why one record is not a sample; the message is a clause such as "'output' is empty"."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a shape takes from a record; `source` and `meta` only where the shape sets them."""

    turns: tuple[Turn, ...]
    input: str = ""
    source: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


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


def as_text(value: object) -> str | None:
    """Text as it is, a finite number or a truth value as JSON writes it (145.0 as "145")."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value) if isinstance(value, int) else None


def _checked(value: object, name: str) -> str:
    text = as_text(value)
    if text is None:
        raise Rejected(f"{name} is neither text nor a number")
    if _blank(text):
        raise Rejected(f"{name} is empty")
    return text


def _filled(columns: Columns, names: Sequence[str]) -> str:
    """The first of `names` that is there and not blank, else the first that is there."""
    there = [name for name in names if name in columns]
    if not there:
        raise Rejected(f"'{names[0]}' is missing")
    return next((name for name in there if not _blank(columns[name])), there[0])


def _blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _text(columns: Columns, *names: str) -> str:
    name = _filled(columns, names)
    return _checked(columns[name], f"'{name}'")


def _optional(columns: Columns, name: str) -> str:
    """The column as text, "" where it is missing or blank."""
    value = columns.get(name, "")
    return "" if _blank(value) else _checked(value, f"'{name}'")


def _system(columns: Columns) -> tuple[Turn, ...]:
    text = _optional(columns, "system")
    return (Turn("system", text),) if text else ()


# conversations


def _conversation(columns: Columns) -> Parts:
    name = _filled(columns, ("messages", "conversation", "conversations"))
    return Parts(_led(columns, _turns(columns[name], name)))


def _led(columns: Columns, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """A system column goes first, unless the conversation brings a system turn of its own."""
    return turns if turns and turns[0].role == "system" else (*_system(columns), *turns)


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
    empty = role == "system" and _blank(content)
    return Turn(role, content if empty else _checked(content, place))


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
    name = _filled(columns, names)
    value = columns[name]
    return _turns(value, name) if isinstance(value, list) else (Turn(role, _text(columns, name)),)


# one question, one answer


def _alpaca(columns: Columns, answers: Sequence[str] = ("output", "response")) -> Parts:
    instruction = _text(columns, "instruction")
    extra = _optional(columns, "input")
    earlier = tuple(_history(columns.get("history") or []))
    asked = Turn("user", f"{instruction}\n\n{extra}" if extra else instruction)
    answer = Turn("assistant", _text(columns, *answers))
    # Sample.input must be the end of the *first* user turn, which a history takes away
    return Parts((*_system(columns), *earlier, asked, answer), "" if earlier else extra)


def _history(value: object) -> Iterator[Turn]:
    for pair in value if isinstance(value, list) else [None]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Rejected("'history' is not a list of [question, answer] pairs")
        yield Turn("user", _checked(pair[0], "a question in 'history'"))
        yield Turn("assistant", _checked(pair[1], "an answer in 'history'"))


_CLOSED = re.compile(r"[.!?,;:\u2026\u3002\uff01\uff1f\u061f][\"')\]\u2019\u201d]*$")


def _question(columns: Columns) -> Parts:
    question, body = _text(columns, "question"), _optional(columns, "body").rstrip()
    if body:
        question = f"{body}{'' if _CLOSED.search(body) else '.'} {question}"
    answer = Turn("assistant", _text(columns, "answer"))
    return Parts((*_system(columns), Turn("user", question), answer))


# multiple choice

_ANSWERS = ("answer_idx", "answerkey", "answer_index", "answer")


def _choice(columns: Columns) -> Parts:
    options = _options(columns)
    letter = _letter(columns, options)
    lines = [f"{key}. {text}" for key, text in options.items()]
    asked = Turn("user", "\n".join([_text(columns, "question"), *lines]))
    answer = Turn("assistant", f"{letter}. {options[letter]}")
    meta = {"options": json.dumps(options, ensure_ascii=False), "answer_idx": letter}
    return Parts((*_system(columns), asked, answer), meta=meta)


def _options(columns: Columns) -> dict[str, str]:
    """Letter -> text, from an object, a list, or two lists {"label", "text"}."""
    name = _filled(columns, ("options", "choices"))
    value = columns[name]
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        labels = value.get("label")
        if not isinstance(labels, list) or len(set(map(str, labels))) != len(value["text"]):
            raise Rejected(f"'{name}' does not have one label per text")
        value = dict(zip(map(str, labels), value["text"], strict=True))
    elif isinstance(value, list):
        if len(value) > len(string.ascii_uppercase):
            raise Rejected(f"'{name}' has more than 26 options")
        value = dict(zip(string.ascii_uppercase, value, strict=False))
    if not isinstance(value, dict) or not value:
        raise Rejected(f"'{name}' is not a list of texts or an object of letters")
    # Parquet writes the letters of other rows as nulls
    return {k: _checked(v, f"option {k!r}") for k, v in value.items() if v is not None}


def _letter(columns: Columns, options: Mapping[str, str]) -> str:
    """The letter of the right option, from a letter, a 0-based index or the option's text."""
    name = _filled(columns, _ANSWERS)
    text, value = _text(columns, name), columns[name]
    letters = list(options)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # not letters[value]: -1, which stands for "unknown", would be the last option
        meant = [k for i, k in enumerate(letters) if i == value]
    else:
        meant = [k for k in letters if text == k] + [k for k in letters if text == options[k]]
        meant += [k for k in letters if text.strip().upper() == k.upper()]
    if not meant:
        raise Rejected(f"answer {text[:40]!r} is none of the options {', '.join(letters)[:80]}")
    return meant[0]


SHAPES = (
    Shape("messages", (("messages", "conversation"),), ("system",), _conversation),
    Shape("sharegpt", (("conversations",),), ("system",), _conversation),
    Shape(
        "multiple choice",
        (("question",), ("options", "choices"), _ANSWERS),
        ("system",),
        _choice,
    ),
    Shape(
        "alpaca",
        (("instruction",), ("output", "response")),
        ("input", "system", "history"),
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
        named = {"id": _optional(view, "id")} if "id" in view else {}
        return Parts(parts.turns, parts.input, _optional(view, "source"), named)

    return Shape("mapped", needs, tuple(names.values()), convert)
