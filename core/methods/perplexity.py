"""Perplexity: how surprising a response is to the base model, given its instruction.

    perplexity = exp(-1/T sum_t ln p(y_t | x, y_<t))        1 (expected) to infinity

Which end is better is disputed, so it is a parameter: high, low, or the middle (nearest to the
median, by the logarithm). Source: perplexity pruning, arXiv 2309.04564, which finds the middle
best for pre-training text.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import Arrays, Scores
from core.methods import Method
from core.signals import Signal, TokenStats


class Perplexity(Method):
    """Baseline: the base model's perplexity of the response."""

    name = "perplexity"
    title = "Perplexity"
    paper = "Perplexity pruning (arXiv 2309.04564)"
    policy = "top"
    columns = ("base_nll", "n_tokens")
    pointwise = False  # the middle is that of the pool
    baseline = True

    order: Literal["high", "low", "middle"] = Field(
        "high", description="part of the scale that is chosen first"
    )

    def needs(self) -> Mapping[str, Signal]:
        """Token statistics under the base model."""
        return {"base": TokenStats()}

    def score(self, x: Arrays) -> Scores:
        """Value = perplexity, or its negative, or minus the distance of its logarithm from the
        pool's median: higher is chosen earlier.
        """
        nll = np.asarray(x["base_nll"], np.float64)
        with np.errstate(over="ignore"):
            perplexity = np.exp(nll)
        over_long = np.asarray(x["base_over_long"], bool)
        usable = np.isfinite(perplexity) & ~over_long
        value = {
            "high": perplexity,
            "low": -perplexity,
            "middle": -np.abs(nll - (np.median(nll[usable]) if usable.any() else 0.0)),
        }[self.order]
        return Scores(
            np.where(usable, value, np.nan),
            excluded={
                "longer than the token limit": over_long,
                "the perplexity is not a number": ~np.isfinite(perplexity) & ~over_long,
            },
            diagnostics={
                "perplexity": perplexity,
                "n_tokens": np.asarray(x["base_n_tokens"], np.float64),
            },
        )
