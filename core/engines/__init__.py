"""Engines measure samples with a model. This file says what signals may ask of one."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.templates import Template


class Engine(Protocol):
    """What signals may ask of a model. Rows are in the order of `samples`."""

    block_tokens: int  # padded tokens in a block of a few seconds of work

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Tokens of prompt and response together, (b,); needs the tokenizer only."""
        ...

    def token_stats(
        self, samples: Sequence[Sample], template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """NLL and entropy of the response.

        Returns arrays (b,): `nll` and `entropy`, means in nats per response token, NaN where
        nothing was scored; `n_tokens`, response tokens scored; `over_long`, True where prompt
        and response exceed `max_tokens` or the model's own limit.
        """
        ...
