"""What an engine that does one thing says of all the others."""

from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.engines import Pooling, Sampling, Sketch, Text, Wording
from core.engines.hardware import Precision
from core.errors import ModelError
from core.models import Checkpoint
from core.templates import Template


class Limited:
    """An engine that refuses whatever a class on top of it does not do. See `Engine`."""

    kind: str  # "a sentence embedder"
    checkpoint: Checkpoint
    precision: Precision
    block_tokens: int

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Raises ModelError."""
        self._cannot("count tokens")

    def response_lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Raises ModelError."""
        self._cannot("tell a response from its prompt")

    def token_stats(
        self, samples: Sequence[Sample], template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("give the likelihood of a response")

    def token_heat(
        self, sample: Sample, template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("give the likelihood of a response")

    def answer_token(
        self, samples: Sequence[Sample], wording: Wording, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("tell how likely an answer is")

    def answers(
        self, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("answer")

    def answer_vectors(
        self,
        samples: Sequence[Sample],
        texts: NDArray[Any],
        pooling: Pooling,
        span: Literal["answer", "full"],
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("read an answer after its instruction")

    def embeddings(
        self, samples: Sequence[Sample], text: Text, pooling: Pooling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("give the vector of a text")

    def gradients(
        self,
        samples: Sequence[Sample],
        template: Template,
        sketch: Sketch,
        adam: bool,
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """Raises ModelError."""
        self._cannot("give gradients of a response")

    def _cannot(self, what: str) -> NoReturn:
        raise ModelError(
            self.checkpoint.name,
            f"is {self.kind}, it cannot {what}",
            do="Choose a language model, e.g. embedded.",
        )
