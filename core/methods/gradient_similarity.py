"""Gradient similarity: samples that would push the model where a query set pushes it.

A light LoRA warm-up on the pool leaves a checkpoint after each epoch. At checkpoint i, with
g_i(z) the sketched gradient of the mean response NLL of z by the adapter and G_i(z) the step that
Adam would take from it,

    S[z, q] = sum_i w_i cos(G_i(z), g_i(q)),    w_i = lr_i / sum_j lr_j

lr_i being the mean learning rate of epoch i. Higher means closer, and is chosen first. In place of
gradients, S may be the cosine of hidden states (RDS+) or of sentence embeddings (EMBED).
Sources: LESS, arXiv 2402.04333; targeted instruction selection, arXiv 2602.14696.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.domain import Arrays, FloatN, MaskN, Scores
from core.engines import Pooling, Sketch
from core.errors import MethodError
from core.influence import combined, shares, similarity, subtask_scores
from core.methods import Method, WarmUpFields
from core.signals import Embedding, Gradient, Signal


class GradientSimilarity(WarmUpFields, Method):
    """LESS and its successors: prefer samples whose gradients are near those of a query set."""

    name = "gradient_similarity"
    title = "Gradient similarity"
    paper = "LESS (arXiv 2402.04333), targeted selection (2602.14696)"
    policy = "round_robin"
    columns = ("similarity_max", "similarity_mean", "nearest_query")
    pointwise = True

    representation: Literal["gradients", "rds", "sentence"] = Field(
        "gradients",
        description="vectors that are compared: gradients (LESS), the model's hidden states (RDS+)"
        " or sentence embeddings",
    )
    text: Literal["chat", "tulu", "alpaca"] = Field(
        "chat", description="text of the gradients: the model's chat template, the paper's, Alpaca"
    )
    warm_up_fraction: float = Field(
        0.05, gt=0, le=1, description="share of the pool the model is calibrated on (alpha)"
    )
    warm_up_epochs: int = Field(4, ge=1, le=20, description="passes over the warm-up samples")
    warm_up_learning_rate: float = Field(
        2e-5, gt=0, le=1e-2, description="peak learning rate of the warm-up"
    )
    warm_up_adapter: Literal["lora"] = Field(
        "lora", description="weights that move: gradients are taken by those of a LoRA adapter"
    )
    warm_up_rank: int = Field(128, ge=1, le=512, description="rank of a LoRA adapter")
    warm_up_alpha: int = Field(
        512, ge=1, le=4096, description="alpha of a LoRA adapter, whose scale is alpha / rank"
    )
    warm_up_dropout: float = Field(
        0.1, ge=0, lt=1, description="dropout before a LoRA adapter while it is trained"
    )
    checkpoints: int = Field(
        4, ge=1, le=20, description="checkpoints compared, one an epoch, counted from the last"
    )
    sketch: Literal["sjlt", "rademacher"] = Field(
        "sjlt",
        description="projection of the gradients: sparse and fast, or the authors' dense one",
    )
    width: int = Field(8192, ge=16, le=65536, description="numbers kept of each gradient")
    weights: Literal["rate", "equal"] = Field(
        "rate", description="weights of the checkpoints: mean learning rate, or all the same"
    )
    aggregate: Literal["max", "mean", "max_mean"] = Field(
        "max",
        description="score from the similarities: nearest query, mean of all, or the best mean of"
        " a subtask (LESS)",
    )
    subtasks: int = Field(
        1, ge=1, le=1000, description="groups of equal size that the queries form in order"
    )
    leakage: float = Field(
        1.0,
        gt=0,
        le=1,
        description="similarity from which on a sample is left out as a near duplicate of a query;"
        " 1 leaves none out",
    )

    def needs(self) -> Mapping[str, Signal]:
        """Vectors of pool and query set, once or at each checkpoint."""
        out: dict[str, Signal] = {}
        for step in self._steps():
            out[f"pool_{step + 1}"] = self._signal("pool", step)
            out[f"query_{step + 1}"] = self._signal("query", step)
        return out

    def reduce(self, x: Arrays) -> Arrays:
        """Cosines (n, m) at each checkpoint, its learning rate, and flags of each sample.

        Raises:
            MethodError: there is no query, or one that cannot be measured.
        """
        column = "gradient" if self.representation == "gradients" else "vector"
        out: dict[str, NDArray[Any]] = {}
        for number in (step + 1 for step in self._steps()):
            pool, query = x[f"pool_{number}_{column}"], x[f"query_{number}_{column}"]
            _check_queries(query)
            out[f"similarity_{number}"] = similarity(pool, query)
            rate = x.get(f"pool_{number}_rate", np.ones(1))
            out[f"rate_{number}"] = np.full(len(pool), rate[0])
        last = f"pool_{self._steps()[-1] + 1}"
        for kept in ("nll", "norm", "n_tokens", "over_long", "empty"):
            if f"{last}_{kept}" in x:
                out[kept] = np.asarray(x[f"{last}_{kept}"])
        return out

    def score(self, x: Arrays) -> Scores:
        """Value = similarity to the query set under `aggregate`; see the module."""
        closeness = self.similarity(x)
        best = closeness.max(1)
        value = self._value(closeness)
        excluded = self._excluded(x, value, best)
        value = np.where(np.any(list(excluded.values()), axis=0), np.nan, value)
        seen = {
            "similarity_mean": closeness.mean(1, dtype=np.float64),
            "similarity_max": best.astype(np.float64),
            "nearest_query": closeness.argmax(1).astype(np.float64),
        }
        kept = {k: np.asarray(x[k], np.float64) for k in ("nll", "norm", "n_tokens") if k in x}
        return Scores(value, None, excluded, seen | kept, closeness)

    def similarity(self, x: Arrays) -> NDArray[np.float32]:
        """Cosines (n, m), the weighted mean over the checkpoints."""
        numbers = [step + 1 for step in self._steps()]
        each = [np.asarray(x[f"similarity_{k}"], np.float32) for k in numbers]
        return combined(each, self._weights(x))

    def _steps(self) -> list[int]:
        """The checkpoints that are compared, counted from 0."""
        if self.representation != "gradients":
            return [0]
        return list(range(max(0, self.warm_up_epochs - self.checkpoints), self.warm_up_epochs))

    def _signal(self, on: Literal["pool", "query"], step: int) -> Signal:
        if self.representation == "rds":
            return Embedding(on=on, text="conversation", pooling=Pooling("position"))
        if self.representation == "sentence":
            text: Literal["conversation", "query"] = "conversation" if on == "pool" else "query"
            pooling = Pooling("sentence")
            return Embedding(
                checkpoint="embedder", model="minilm", on=on, text=text, pooling=pooling
            )
        return Gradient(
            checkpoint="calibrated",
            on=on,
            warm_up=self.warm_up(),
            step=step,
            template=self.text,
            sketch=Sketch(self.sketch, self.width, 0),
            adam=on == "pool",
        )

    def features(self, x: Arrays) -> Mapping[str, float]:
        """The vectors that were compared with the queries, weighted as the similarities are."""
        column = "gradient" if self.representation == "gradients" else "vector"
        return {
            f"pool_{step + 1}_{column}": float(weight)
            for step, weight in zip(self._steps(), self._weights(x), strict=True)
        }

    def _weights(self, x: Arrays) -> FloatN:
        """Of the checkpoints, summing to 1."""
        rates = [float(np.max(x[f"rate_{step + 1}"], initial=0)) for step in self._steps()]
        return shares(rates if self.weights == "rate" else np.ones(len(rates)))

    def _value(self, closeness: NDArray[np.float32]) -> FloatN:
        m = closeness.shape[1]
        if self.aggregate != "max_mean":
            groups = m if self.aggregate == "max" else 1
            return subtask_scores(closeness, groups)
        if m % self.subtasks:
            do = f"Choose a number that divides the {m} queries."
            what = "the queries do not form groups of equal size"
            raise MethodError(f"{self.name}.subtasks", what, got=self.subtasks, do=do)
        return subtask_scores(closeness, self.subtasks)

    def _excluded(self, x: Arrays, value: FloatN, best: NDArray[np.float32]) -> dict[str, MaskN]:
        no = np.zeros(len(value), bool)
        long = np.asarray(x.get("over_long", no), bool)
        empty = np.asarray(x.get("empty", np.asarray(x.get("n_tokens", ~no)) == 0), bool) & ~long
        broken = ~np.isfinite(value)
        if "norm" in x:
            broken |= ~np.isfinite(x["norm"]) | ~np.isfinite(x["nll"])
        out = {
            "longer than the token limit": long,
            "nothing to measure: the text or its response is empty": empty,
            "a measurement is not a number": broken & ~long & ~empty,
        }
        if self.leakage < 1:
            out["near duplicate of a query"] = best >= np.float32(self.leakage)
        return out


def _check_queries(query: NDArray[Any]) -> None:
    """Raise unless there are queries and each has a direction."""
    where = "gradient_similarity"
    if not len(query):
        do = "Import samples of what the model should learn with --query, and name that set."
        raise MethodError(where, "needs a query set with at least one sample", do=do)
    wide = query.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(wide).all(1) | ~wide.any(1))
    if len(bad):
        do = "Take it out of the query set, or raise --max-tokens if it is long."
        raise MethodError(where, "a query cannot be measured", got=f"query {bad[0] + 1}", do=do)
