"""Rules: what a sample must be to stay. Each is frozen, has a slot, and reads as a short text."""

import re
from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
)

from core.domain import FloatN, MaskN, content_hash
from core.errors import BudgetError

BOUND = re.compile(r"\s*([A-Za-z][\w.]*)\s*(<=|>=)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")
VERTICES = 256  # more than a hand draws
SHOWN = 24  # characters of a value in a rule's text

Number = Annotated[float, Field(allow_inf_nan=False)]
RunId = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{20})?$")]
ContentId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{20}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(max_length=100_000)]  # a source, or a value of a column


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def slot(self) -> str:
        """A recipe holds one rule a slot; the next one there takes the place of the last."""
        raise NotImplementedError


class Range(_Rule):
    """Keep samples whose number lies in [low, high]; an open end is None.

    `column` is one of the run's ("score", "entropy_drop", ...), one of the samples ("n_chars",
    "n_turns", "meta.NAME"), or, with `run`, one of another run of the pool.
    """

    column: Name
    low: Number | None = None
    high: Number | None = None
    run: RunId = ""

    @property
    def slot(self) -> str:
        """One range a column."""
        return f"{self.run}:{self.column}" if self.run else self.column

    def bounds(self) -> list[str]:
        """The rule as `parse` reads it, one text an end, without rounding."""
        ends = ((">=", self.low), ("<=", self.high))
        return [f"{self.column}{sign}{end!r}" for sign, end in ends if end is not None]

    def passed(self, column: FloatN) -> MaskN:
        """(n,) True where the column is a number within the bounds: what the SQL must say too."""
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return (column >= low) & (column <= high)

    def __str__(self) -> str:
        name = named(self.column) + (f" of {self.run[:6]}" if self.run else "")
        if self.low is None and self.high is None:
            return f"{name} is a number"
        if self.high is None:
            return f"{name} ≥ {self.low:.4g}"
        if self.low is None:
            return f"{name} ≤ {self.high:.4g}"
        return f"{self.low:.4g} ≤ {name} ≤ {self.high:.4g}"


class Among(_Rule):
    """Keep (or drop) samples whose text is one of `values`.

    `column` is "source", "meta.NAME", or "group": the run's bin, band or cluster by its number.
    """

    column: Name
    values: Annotated[tuple[Label, ...], Field(min_length=1, max_length=1000)]
    keep: bool = True

    @property
    def slot(self) -> str:
        """One rule a column for what to keep, one for what to drop."""
        return f"{self.column}:{'in' if self.keep else 'out'}"

    def __str__(self) -> str:
        some = ", ".join(map(_short, self.values[:3])) + ", …" * (len(self.values) > 3)
        return f"{named(self.column)} {'' if self.keep else 'not '}{some}"


class Lasso(_Rule):
    """Keep (or drop) samples inside a polygon on a map, in the map's own coordinates."""

    map_id: ContentId
    polygon: Annotated[tuple[tuple[Number, Number], ...], Field(min_length=3, max_length=VERTICES)]
    keep: bool = True

    @property
    def slot(self) -> str:
        """Every polygon is a rule of its own."""
        return f"lasso:{content_hash([self.map_id, self.polygon], 8)}"

    def __str__(self) -> str:
        return f"{'inside' if self.keep else 'outside'} lasso {self.slot[6:10]}"


class Search(_Rule):
    """Keep (or drop) samples with this text in any turn, in upper or lower case."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    keep: bool = True

    @field_validator("text")
    @classmethod
    def _sayable(cls, text: str) -> str:
        text.encode("utf8")  # half a character cannot be looked for
        return text

    @property
    def slot(self) -> str:
        """One rule a text."""
        return f"search:{self.text.lower()}"

    def __str__(self) -> str:
        return f"{'with' if self.keep else 'without'} “{_short(self.text)}”"


Rule = Range | Among | Lasso | Search
KINDS = {"polygon": "lasso", "text": "search", "values": "among"}  # a field that only one has


def _kind(value: object) -> str:
    fields = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return next((kind for name, kind in KINDS.items() if name in fields), "range")


AnyRule = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[Among, Tag("among")]
    | Annotated[Lasso, Tag("lasso")]
    | Annotated[Search, Tag("search")],
    Discriminator(_kind),
]


def parse(text: str) -> Range:
    """Read `entropy_drop<=0.2` or `n_tokens>=5`.

    Raises:
        BudgetError: not of that form.
    """
    match = BOUND.fullmatch(text)
    if match is None:
        do = "Write COLUMN<=NUMBER or COLUMN>=NUMBER."
        raise BudgetError("--rule", "is not a rule", got=text, do=do)
    column, sign, number = match[1], match[2], float(match[3])
    if np.isinf(number):
        do = "Give a number that a computer holds, or leave the rule out."
        raise BudgetError("--rule", "its number is too large", got=text, do=do)
    if sign == "<=":
        return Range(column=column, high=number)
    return Range(column=column, low=number)


def parse_all(texts: Iterable[str]) -> tuple[Range, ...]:
    """One rule a column: `a>=1` and `a<=2` are the two ends of one."""
    rules: dict[str, Range] = {}
    for rule in map(parse, texts):
        ends = {k: v for k, v in (("low", rule.low), ("high", rule.high)) if v is not None}
        rules[rule.column] = rules.get(rule.column, rule).model_copy(update=ends)
    return tuple(rules.values())


def named(column: str) -> str:
    """A column as people read it."""
    return column.removeprefix("meta.").replace("_", " ").replace("nll", "NLL")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
