"""What is measured per sample. A signal is a frozen dataclass; its fields are its cache key."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from core.domain import Arrays, Sample, WarmUp
from core.engines import Engine, Pooling, Sampling, Sketch, Text, Wording
from core.templates import Template

# These say which checkpoint measures which samples, and live on in the keys of both.
WHO = ("checkpoint", "on", "model", "warm_up", "step")
ROUND_TOKENS = 20_480  # sampled in a block of answers, at most


@dataclass(frozen=True, kw_only=True)
class Signal(ABC):
    """A measurement of each sample of the pool, or of the query set, by one checkpoint.

    `checkpoint` is the role as people read it: base, calibrated, proxy, embedder. `model` is a
    name for `core.models.resolve`, empty for the run's own model. `warm_up` says how the
    checkpoint is made from that model, None for the model itself; `step` which of the
    checkpoints saved on the way, the last one by default.
    """

    VERSION: ClassVar[int] = 1  # raise it when the numbers change for the same fields

    checkpoint: str = "base"
    on: Literal["pool", "query"] = "pool"
    model: str = ""
    warm_up: WarmUp | None = None
    step: int = -1
    template: Template = "chat"

    @property
    def after(self) -> "Signal | None":
        """The signal whose arrays `measure` is given, for the same samples; None for most."""
        return None

    @property
    def per_block(self) -> int:
        """Samples in a block, where their number makes the work; 0 where their tokens do."""
        return 0

    @property
    def steady(self) -> bool:
        """Whether a rounding error can change the result altogether, so that bf16 will not do."""
        return False

    def key(self) -> list[Any]:
        """What shapes the numbers, the checkpoint and the precision aside."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in WHO}
        if self.after is not None:
            shown["after"] = self.after.key()
        plain = {k: _plain(v) for k, v in shown.items()}
        return [type(self).__name__, self.VERSION, plain]

    @abstractmethod
    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """Measure a few samples: named arrays of (b, ...). `given`: the arrays of `after`."""


def _plain(value: Any) -> Any:
    """A field as JSON can hold it."""
    if isinstance(value, Signal):
        return value.key()
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class TokenStats(Signal):
    """Mean NLL and entropy of the response under a checkpoint, in nats per response token.

    A loss trajectory is this signal at every saved checkpoint of a proxy.
    """

    VERSION: ClassVar[int] = 3

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.token_stats`."""
        return engine.token_stats(batch, self.template, max_tokens)


@dataclass(frozen=True, kw_only=True)
class AnswerToken(Signal):
    """Entropy, greedy token and option log-probabilities at the first answer position."""

    VERSION: ClassVar[int] = 3

    wording: Wording = "plain"

    @property
    def steady(self) -> bool:
        """The entropy of one token is no mean: its rounding error in bf16 changes the order."""
        return True

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answer_token`."""
        return engine.answer_token(batch, self.wording, max_tokens)


@dataclass(frozen=True, kw_only=True)
class Answers(Signal):
    """k answers per instruction, sampled by the model itself."""

    VERSION: ClassVar[int] = 2

    sampling: Sampling

    @property
    def per_block(self) -> int:
        """Enough rows at once for a fast decoding, few enough for blocks of some seconds."""
        tokens = self.sampling.k * self.sampling.max_new_tokens  # a sample's, at most
        return min(64, max(8, ROUND_TOKENS // tokens))

    @property
    def steady(self) -> bool:
        """One token that falls otherwise makes another text; in bf16 a neighbour can do that."""
        return True

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answers`."""
        return engine.answers(batch, self.sampling, max_tokens)


@dataclass(frozen=True, kw_only=True)
class AnswerVectors(Signal):
    """One vector for each sampled answer, and the cosines between them."""

    VERSION: ClassVar[int] = 2

    answers: Answers
    pooling: Pooling
    span: Literal["answer", "full"] = "answer"

    @property
    def after(self) -> Signal:
        """The answers themselves."""
        return self.answers

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answer_vectors`."""
        return engine.answer_vectors(batch, given["text"], self.pooling, self.span, max_tokens)


@dataclass(frozen=True, kw_only=True)
class Embedding(Signal):
    """One vector a sample, by sentence-transformers or from a language model's hidden states."""

    VERSION: ClassVar[int] = 2

    text: Text = "instruction"
    pooling: Pooling = field(default_factory=lambda: Pooling("sentence"))

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.embeddings`."""
        return engine.embeddings(batch, self.text, self.pooling, max_tokens)


@dataclass(frozen=True, kw_only=True)
class Gradient(Signal):
    """Sketched per-sample gradients of the adapter at a saved checkpoint of a warm-up.

    The pool has the Adam direction, the query set the plain gradient.
    """

    VERSION: ClassVar[int] = 2

    sketch: Sketch
    adam: bool = True

    def measure(
        self, batch: Sequence[Sample], engine: Engine, max_tokens: int, given: Arrays
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.gradients`."""
        return engine.gradients(batch, self.template, self.sketch, self.adam, max_tokens)


Needs = Mapping[str, Signal]


def draws(needs: Needs) -> bool:
    """Whether answers are among what is measured."""
    return any(isinstance(signal, Answers) for signal in needs.values())
