"""A recipe: what to keep of a scored pool, as a value that can be hashed, stored and sent."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.domain import content_hash
from core.errors import BudgetError
from core.rules import AnyRule, ContentId, Label, Name

MOST_CHARS = 10_000  # of a knob's value
LATER = ("policy_params", "distinct", "quotas", "pins")


class Distinct(BaseModel):
    """Of each group of near-duplicates keep the one that ranks highest.

    `by` cosine compares meaning, minhash wording; groups are those of a map at `threshold`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    map_id: ContentId
    by: Literal["cosine", "minhash"] = "cosine"
    threshold: float = Field(0.95, gt=0, le=1)

    def __str__(self) -> str:
        return f"near-duplicates once ({self.by} ≥ {self.threshold:g})"


class Pin(BaseModel):
    """A sample that is kept or dropped by hand, whatever the rest of the recipe says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_id: ContentId
    keep: bool


class Recipe(BaseModel):
    """What to keep of a scored pool. Two equal recipes on one run give the same subset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: Name
    method: Name
    run_id: Name
    params: dict[str, Any] = Field(default_factory=dict)  # live knobs that differ from the run
    rules: tuple[AnyRule, ...] = Field(default=(), max_length=100)
    policy: Name = "top"
    policy_params: dict[str, Any] = Field(default_factory=dict)
    budget: Name = "10%"
    distinct: Distinct | None = None
    quotas: dict[Label, Annotated[int, Field(ge=0, le=2**53)]] = Field(  # source -> most
        default_factory=dict
    )
    pins: tuple[Pin, ...] = ()

    @field_validator("pins")
    @classmethod
    def _once(cls, pins: tuple[Pin, ...]) -> tuple[Pin, ...]:
        if len({pin.sample_id for pin in pins}) != len(pins):
            raise ValueError("a sample is pinned twice")
        return pins

    @field_validator("params", "policy_params")
    @classmethod
    def _plain(cls, params: dict[str, Any]) -> dict[str, Any]:
        if not all(_can_be_kept(part) for pair in params.items() for part in pair):
            raise ValueError("a parameter is no plain number or text")
        return params

    @property
    def key(self) -> str:
        """Content hash: the same recipe has the same key in every session."""
        return content_hash(self.plain(), 12)

    def plain(self) -> dict[str, Any]:
        """The recipe as JSON values; a field that came later is there only where it is used."""
        unused = {name for name in LATER if not getattr(self, name)}
        values = self.model_dump(mode="json", exclude=unused)
        for rule in values["rules"]:
            if not rule.get("run", "-"):
                del rule["run"]
        return values

    @classmethod
    def load(cls, value: Any) -> "Recipe":
        """Read a recipe out of a manifest or a link.

        Raises:
            BudgetError: a field is missing, unknown or of the wrong type.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            kinds = ("range", "among", "lasso", "search")  # of rules; no field has such a name
            where = ".".join(str(part) for part in ("recipe", *first["loc"]) if part not in kinds)
            raise BudgetError(where, first["msg"].lower(), do="Make the recipe anew.") from None


def _can_be_kept(value: object) -> bool:
    """Whether a link, the store and a form can hold a parameter: it is one number or text."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, str):  # half a character cannot be written
        return len(value) <= MOST_CHARS and not any("\ud800" <= c <= "\udfff" for c in value)
    return value is None
