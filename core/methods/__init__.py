"""Scoring methods, one file each; a new file here is found by itself.

A method is a frozen pydantic model: its fields are its parameters (form, CLI options,
validation and run key come from them), its class variables are its card. `score` is pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from core.domain import Arrays, Scores, WarmUp
from core.errors import MethodError
from core.fields import complaint
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
    fixed: ClassVar[frozenset[str]] = frozenset()  # parameters that `reduce` reads: not live
    measures: ClassVar[bool] = True  # False for scores that came from elsewhere
    columns: ClassVar[tuple[str, ...]] = ()  # diagnostics worth a place in a list of samples
    baseline: ClassVar[bool] = False  # what every plot needs beside the published methods

    @abstractmethod
    def needs(self) -> Mapping[str, Signal]:
        """The measurements to make. Column `c` of need `a` arrives as `a_c`: (n, ...) for a
        need on the pool, (m, ...) for one on the query set.

        A need with a warm-up also brings `a_in_warm_up` (n,), the sample was trained on, and
        `a_rate` (1,), the mean learning rate since the checkpoint before. Every method gets
        `id_hash` (n,), 52 bits of a hash of the sample's id, for draws that no order of the pool
        changes, and `n_chars` (n,), the characters of its response.
        """

    def reduce(self, x: Arrays) -> Arrays:
        """What `score` reads of the measurements: arrays of n rows, small enough for the store.

        Called once, after measuring. What it returns is stored with the run, so that `score`
        can be called again under other live parameters without any measurement.
        """
        needs = self.needs().items()
        aside = [f"{name}_" for name, signal in needs if signal.on == "query"]
        aside += [f"{name}_rate" for name, _ in needs]
        return {name: x[name] for name in x if not name.startswith(tuple(aside))}

    @abstractmethod
    def score(self, x: Arrays) -> Scores:
        """Turn what `reduce` returned, all with n rows in pool order, into scores."""

    def features(self, x: Arrays) -> Mapping[str, float]:
        """Which measured vectors of the pool say how alike two samples are.

        `need_column` -> weight; the cosine of two samples is the weighted mean of those of their
        vectors. `x` is what `score` reads. None for most methods.
        """
        return {}

    def similarity(self, x: Arrays) -> NDArray[np.float32] | None:
        """Of each sample to each query (n, m), as `score` gives it; None for most methods."""
        return None

    def with_params(self, params: Mapping[str, Any]) -> Self:
        """This method with some parameters replaced.

        Raises:
            MethodError: a parameter is unknown or out of bounds.
        """
        return type(self)(**checked(type(self), self.model_dump() | dict(params)))

    def is_live(self, params: Mapping[str, Any]) -> bool:
        """Whether these parameters can change without measuring or reducing anything again."""
        other = self.with_params(params)
        held = all(getattr(other, name) == getattr(self, name) for name in self.fixed)
        return held and other.needs() == self.needs()

    def live(self) -> list[str]:
        """The parameters that `is_live` allows to change, whatever they change to."""
        fields = type(self).model_fields
        others = {name: {name: _another(getattr(self, name), f)} for name, f in fields.items()}
        return [
            name
            for name, other in others.items()
            if name not in self.fixed
            and other[name] != getattr(self, name)  # there may be one option alone
            and self.model_copy(update=other).needs() == self.needs()
        ]

    def needs_query(self) -> bool:
        """Whether a query set must be named."""
        return any(signal.on == "query" for signal in self.needs().values())


def _another(value: Any, field: FieldInfo) -> Any:
    """Another value of a field's type; it may be out of bounds."""
    if isinstance(value, bool):
        return not value
    if get_origin(field.annotation) is Literal:
        return next((o for o in get_args(field.annotation) if o != value), value)
    return f"{value} " if isinstance(value, str) else value + 1


class WarmUpFields(BaseModel):
    """The parameters of a warm-up, the same names in every method that has one.

    Methods whose values are equal share one training; `score --all` makes them equal.
    """

    warm_up_fraction: float = Field(
        0.10, gt=0, le=1, description="share of the pool the model is calibrated on (alpha)"
    )
    warm_up_epochs: int = Field(3, ge=1, le=20, description="passes over the warm-up samples")
    warm_up_learning_rate: float = Field(
        5e-5, gt=0, le=1e-2, description="peak learning rate of the warm-up"
    )
    warm_up_batch: int = Field(8, ge=1, le=512, description="samples in one warm-up step")
    warm_up_adapter: Literal["auto", "full", "lora"] = Field(
        "auto", description="weights that move: all, a LoRA adapter, or by size of the model"
    )
    warm_up_rank: int = Field(8, ge=1, le=512, description="rank of a LoRA adapter")
    warm_up_alpha: int = Field(
        16, ge=1, le=4096, description="alpha of a LoRA adapter, whose scale is alpha / rank"
    )
    warm_up_dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout before a LoRA adapter while it is trained"
    )
    seed: int = Field(42, ge=0, lt=2**32, description="seed of the warm-up draw and order")

    def warm_up(self) -> WarmUp:
        """The warm-up that these parameters describe."""
        return WarmUp(
            self.warm_up_fraction,
            self.warm_up_epochs,
            self.warm_up_learning_rate,
            self.warm_up_batch,
            self.seed,
            self.warm_up_adapter,
            self.warm_up_rank,
            self.warm_up_alpha,
            self.warm_up_dropout,
        )


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
        field, what, details = complaint(cls, error)
        raise MethodError(f"{cls.name}.{field}", what, **details) from None
