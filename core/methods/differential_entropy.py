"""Differential entropy: how a light tuning on the pool changes a model's certainty of it.

With base model B and calibrated model C (B tuned on a random part of the pool), means over
the T response tokens of a sample, in nats:

    NLL_m = -1/T sum_t ln p_m(y_t | x, y_<t)
    H_m   = -1/T sum_t sum_v p_m(v | x, y_<t) ln p_m(v | x, y_<t)
    nll_drop     = NLL_B - NLL_C   (> 0: tuning made the answer likelier)
    entropy_drop = H_B - H_C       (> 0: tuning made the model more certain)

Samples in either tail of nll_drop are set aside; of the rest, those with the LOWEST signed
entropy_drop are chosen first. Source: InstructDiff, arXiv 2601.23006 (eq. 1, section 3).
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import Arrays, FloatN, IntN, MaskN, Scores
from core.errors import MethodError
from core.methods import Method, WarmUpFields
from core.policies.trim import tails
from core.signals import Signal, TokenStats


class DifferentialEntropy(WarmUpFields, Method):
    """InstructDiff: prefer samples on which calibration lowers the entropy least."""

    name = "differential_entropy"
    title = "Differential entropy"
    paper = "InstructDiff (arXiv 2601.23006)"
    policy = "top"
    columns = ("entropy_drop", "nll_drop", "n_tokens")
    pointwise = False  # the trimmed tails are shares of the pool

    calibrated: str = Field(
        "",
        max_length=300,
        description="name of a tuned model to compare the base model with, in place of a warm-up",
    )
    text: Literal["chat", "alpaca", "instructdiff"] = Field(
        "chat",
        description="text that is scored: the model's chat template, the paper's Alpaca wording,"
        " or exactly what the authors' code scores (newline scored, no EOS, no input)",
    )
    trim_low: float = Field(
        0.10, ge=0, lt=0.5, description="share set aside where the NLL dropped least (gamma)"
    )
    trim_high: float = Field(
        0.10, ge=0, lt=0.5, description="share set aside where the NLL dropped most (gamma)"
    )
    trim_rule: Literal["count", "quantile"] = Field(
        "count", description="tails cut by number of samples (the code) or by quantile (the paper)"
    )
    min_tokens: int = Field(1, ge=1, le=100_000, description="fewest response tokens to be scored")
    exclude_warm_up: bool = Field(
        False, description="switch that leaves out the samples the model was calibrated on"
    )
    ties: Literal["pool", "nll_drop"] = Field(
        "pool",
        description="order of equal entropy drops: pool order, or the authors' (lower NLL drop"
        " first; the score is then minus the rank)",
    )

    def needs(self) -> Mapping[str, Signal]:
        """Token statistics under the base and under the calibrated model."""
        warm_up = None if self.calibrated else self.warm_up()
        calibrated = TokenStats(
            checkpoint="calibrated", model=self.calibrated, warm_up=warm_up, template=self.text
        )
        return {"base": TokenStats(template=self.text), "calibrated": calibrated}

    def score(self, x: Arrays) -> Scores:
        """Value = -entropy_drop (higher is chosen earlier); see the module for the formulas.

        Raises:
            MethodError: the two models' entropies are over different vocabularies.
        """
        _check_vocabulary(x)
        with np.errstate(invalid="ignore"):  # inf - inf is not a number, and excluded as such
            nll_drop = x["base_nll"] - x["calibrated_nll"]
            entropy_drop = x["base_entropy"] - x["calibrated_entropy"]
        n_tokens = np.asarray(x["base_n_tokens"], np.int64)
        excluded = self._unusable(x, nll_drop, entropy_drop, n_tokens)
        usable = ~_any(excluded, len(nll_drop))
        low, high = tails(nll_drop, usable, self.trim_low, self.trim_high, self.trim_rule)
        excluded["NLL drop in the low tail"] = low
        excluded["NLL drop in the high tail"] = high
        kept = ~_any(excluded, len(nll_drop))
        value = np.where(kept, -entropy_drop, np.nan)
        if self.ties == "nll_drop":
            order = selection_order(nll_drop, entropy_drop, np.flatnonzero(kept))
            value[order] = -np.arange(len(order), dtype=np.float64)
        diagnostics = {name: np.asarray(column, np.float64) for name, column in x.items()}
        return Scores(
            value,
            excluded=excluded,
            diagnostics=diagnostics
            | {"nll_drop": nll_drop, "entropy_drop": entropy_drop, "n_tokens": n_tokens * 1.0},
        )

    def _unusable(
        self, x: Arrays, nll_drop: FloatN, entropy_drop: FloatN, n_tokens: IntN
    ) -> dict[str, MaskN]:
        """Reasons that have nothing to do with the pool's other samples."""
        over_long = np.asarray(x["base_over_long"], bool) | np.asarray(
            x["calibrated_over_long"], bool
        )
        few = n_tokens < self.min_tokens
        apart = n_tokens != np.asarray(x.get("calibrated_n_tokens", n_tokens), np.int64)
        finite = np.isfinite(nll_drop) & np.isfinite(entropy_drop)
        unusable = {
            "longer than the token limit": over_long,
            "fewer response tokens than min_tokens": few & ~over_long,
            "the two models cut the response into other tokens": apart & ~over_long & ~few,
            "a measurement is not a number": ~finite & ~over_long & ~few & ~apart,
        }
        if self.exclude_warm_up and "calibrated_in_warm_up" in x:
            unusable["used for calibration"] = np.asarray(x["calibrated_in_warm_up"], bool)
        return unusable


def _check_vocabulary(x: Arrays) -> None:
    sizes = [set(np.unique(x.get(f"{c}_vocabulary", [])).tolist()) for c in ("base", "calibrated")]
    if sizes[0] != sizes[1]:
        got = " and ".join(", ".join(f"{size:,.0f}" for size in sorted(s)) for s in sizes)
        what = "the base and the calibrated model have different vocabularies"
        do = "Take a model that was tuned from the base model, its embeddings not resized."
        raise MethodError("differential_entropy.calibrated", what, got=got, do=do)


def selection_order(nll_drop: FloatN, entropy_drop: FloatN, rows: IntN) -> IntN:
    """`rows` by entropy drop, lowest first; ties by NLL drop, then by position."""
    return rows[np.lexsort((rows, nll_drop[rows], entropy_drop[rows]))]


def _any(masks: Mapping[str, MaskN], n: int) -> MaskN:
    return np.any(list(masks.values()), axis=0) if masks else np.zeros(n, bool)
