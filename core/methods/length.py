"""Length: the longest (or shortest) responses first; what many clever scores turn out to be.

value = characters or tokens of the response, negated for "shortest". Source: a baseline; long
responses alone are a strong one, see "Long is more for alignment", arXiv 2402.04833.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import Arrays, FloatN, Scores
from core.methods import Method
from core.signals import Signal, TokenStats


class Length(Method):
    """Baseline: the length of the response."""

    name = "length"
    title = "Length"
    paper = "baseline"
    policy = "top"
    columns = ("n_chars", "n_tokens")
    pointwise = True
    baseline = True

    measure: Literal["characters", "tokens"] = Field(
        "characters", description="unit of length; tokens need a pass of the model"
    )
    order: Literal["longest", "shortest"] = Field(
        "longest", description="end of the scale that is chosen first"
    )

    def needs(self) -> Mapping[str, Signal]:
        """Nothing for characters, the token counts of the base model for tokens."""
        return {"base": TokenStats()} if self.measure == "tokens" else {}

    def score(self, x: Arrays) -> Scores:
        """Value = length, or minus length for the shortest first: higher is chosen earlier."""
        if self.measure == "characters":
            length = np.asarray(x["n_chars"], np.float64)
            return Scores(self._signed(length), diagnostics={"length": length})
        length = np.asarray(x["base_n_tokens"], np.float64)
        over_long = np.asarray(x["base_over_long"], bool)
        return Scores(
            np.where(over_long, np.nan, self._signed(length)),
            excluded={"longer than the token limit": over_long},
            diagnostics={"length": length, "n_tokens": length},
        )

    def _signed(self, length: FloatN) -> FloatN:
        return length if self.order == "longest" else -length
