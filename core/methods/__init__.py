"""Scoring methods, one file each; a new file here is found by itself.

A method is a frozen pydantic model: its fields are its parameters (form, CLI options,
validation and run key come from them), its class variables are its card. `score` is pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from core.domain import Arrays, Scores
from core.errors import MethodError
from core.signals import Signal


class Method(BaseModel, ABC):
    """One published way to score a pool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]  # as in code, CLI and store
    title: ClassVar[str]  # as people read it
    paper: ClassVar[str]  # name and arXiv number
    policy: ClassVar[str]  # the policy the paper selects with
    version: ClassVar[int] = 1  # raise it when the same measurements give other scores
    pointwise: ClassVar[bool]  # whether a sample's score is independent of the other samples

    @abstractmethod
    def needs(self) -> Mapping[str, Signal]:
        """The measurements `score` reads. Column `c` of need `a` arrives as `a_c`, (n, ...).

        A need with a warm-up also brings `a_in_warm_up` (n,): the sample was trained on.
        """

    @abstractmethod
    def score(self, x: Arrays) -> Scores:
        """Turn measurements, all with n rows in pool order, into scores."""

    def with_params(self, params: Mapping[str, Any]) -> Self:
        """This method with some parameters replaced.

        Raises:
            MethodError: a parameter is unknown or out of bounds.
        """
        return type(self)(**checked(type(self), self.model_dump() | dict(params)))

    def is_live(self, params: Mapping[str, Any]) -> bool:
        """Whether these parameters can change without measuring anything again."""
        return self.with_params(params).needs() == self.needs()


@cache
def catalogue() -> dict[str, type[Method]]:
    """Every method by name, in name order."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return {cls.name: cls for cls in sorted(Method.__subclasses__(), key=lambda c: c.name)}


def build(name: str, params: Mapping[str, Any] | None = None) -> Method:
    """Make a method from its name and parameters.

    Raises:
        MethodError: the name is unknown, or a parameter is unknown or out of bounds.
    """
    if name not in catalogue():
        do = f"Use one of: {', '.join(catalogue())}."
        raise MethodError("method", "there is no method by this name", got=name, do=do)
    cls = catalogue()[name]
    return cls(**checked(cls, params or {}))


def checked(cls: type[Method], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the method's own types; text from a command line is converted."""
    try:
        return cls.model_validate(dict(params)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            what, do = "there is no such parameter", f"Use one of: {', '.join(cls.model_fields)}."
            raise MethodError(f"{cls.name}.{field}", what, do=do) from None
        what = first["msg"][:1].lower() + first["msg"][1:]
        about = cls.model_fields[field].description if field in cls.model_fields else None
        do = f"It is the {about}." if about else ""
        raise MethodError(f"{cls.name}.{field}", what, got=first["input"], do=do) from None
