"""What is measured per sample. A signal is a frozen dataclass; its fields are its cache key."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

from numpy.typing import NDArray

from core.domain import Sample, WarmUp
from core.engines import Engine
from core.templates import Template


class Signal(Protocol):
    """A measurement of each sample of the pool, or of the query set, by one checkpoint."""

    @property
    def checkpoint(self) -> str:
        """The role of the model that measures: base, calibrated or proxy."""
        ...

    @property
    def on(self) -> Literal["pool", "query"]:
        """Which samples are measured."""
        ...

    @property
    def warm_up(self) -> WarmUp | None:
        """How the checkpoint is made from the base model; None for the base model itself."""
        ...

    @property
    def template(self) -> Template:
        """How a sample becomes text."""
        ...

    def key(self) -> list[Any]:
        """What shapes the numbers, the checkpoint and the precision aside."""
        ...

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Measure a few samples: named arrays of (b, ...)."""
        ...


@dataclass(frozen=True)
class TokenStats:
    """Mean NLL and entropy of the response under a checkpoint, in nats per response token."""

    VERSION: ClassVar[int] = 1  # raise it when the numbers change for the same fields
    COLUMNS: ClassVar[tuple[str, ...]] = ("nll", "entropy", "n_tokens", "over_long")

    checkpoint: str = "base"
    on: Literal["pool", "query"] = "pool"
    warm_up: WarmUp | None = None
    template: Template = "chat"

    def key(self) -> list[Any]:
        """See `Signal.key`. The role and the warm-up live on in the checkpoint's own key."""
        fields = asdict(self)
        for name in ("checkpoint", "warm_up", "on"):
            fields.pop(name)
        return [type(self).__name__, self.VERSION, fields]

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.token_stats`."""
        return engine.token_stats(batch, self.template, max_tokens)
