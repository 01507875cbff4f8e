"""Instruction-following difficulty: how little the instruction helps to predict the response.

    ifd = NLL(response | instruction) / NLL(response alone)      means over response tokens

Near 0 the instruction says it all; near 1 it says nothing. The HIGHEST come first, and from 1 on
a sample is set aside: there the instruction makes the response less likely, so the two do not
belong together. Source: arXiv 2308.12032 (Superfiltering, 2402.00530, takes the ratio of the
perplexities, which sets the same samples aside).
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import Arrays, Scores
from core.methods import Method
from core.signals import Signal, TokenStats


class Ifd(Method):
    """Baseline: the instruction-following difficulty of each sample."""

    name = "ifd"
    title = "Instruction-following difficulty"
    paper = "IFD (arXiv 2308.12032)"
    policy = "top"
    columns = ("asked_nll", "alone_nll", "n_tokens")
    pointwise = True
    baseline = True

    misled: Literal["exclude", "keep"] = Field(
        "exclude", description="fate of samples with an IFD of 1 or more"
    )

    def needs(self) -> Mapping[str, Signal]:
        """Token statistics of the response, after its instruction and without it."""
        return {"asked": TokenStats(template="chat"), "alone": TokenStats(template="bare")}

    def score(self, x: Arrays) -> Scores:
        """Value = ifd: higher is chosen earlier."""
        asked, alone = (np.asarray(x[f"{c}_nll"], np.float64) for c in ("asked", "alone"))
        with np.errstate(divide="ignore", invalid="ignore"):
            ifd = asked / alone
        over_long = np.asarray(x["asked_over_long"], bool) | np.asarray(x["alone_over_long"], bool)
        broken = ~np.isfinite(ifd) & ~over_long
        misled = (ifd >= 1) & ~over_long & ~broken & (self.misled == "exclude")
        return Scores(
            np.where(over_long | broken | misled, np.nan, ifd),
            excluded={
                "longer than the token limit": over_long,
                "the IFD is not a number": broken,
                "the instruction does not help (IFD of 1 or more)": misled,
            },
            diagnostics={
                "ifd": ifd,
                "asked_nll": asked,
                "alone_nll": alone,
                "n_tokens": np.asarray(x["asked_n_tokens"], np.float64),
            },
        )
