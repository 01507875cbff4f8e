"""Loss trajectory: which samples are learned alike by a small model that is trained on the pool.

A proxy is fine-tuned on the whole pool; at each of its t saved checkpoints a sample has

    loss_c = -1/T sum_t ln p_c(y_t | x, y_<t)      nats per response token

and its trajectory is (loss_1, ..., loss_t). Samples of similar trajectories have similar
gradients, so k-means on them finds what is redundant; a policy then takes samples evenly from
the clusters (`group`). S2L ranks nothing inside a cluster: it draws, as its policy does. For
policies that rank, the score prefers what is NEAREST to its cluster's centre, the most typical.
Source: S2L, arXiv 2403.07384, algorithm 1.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from core.domain import Arrays, Scores, WarmUp
from core.methods import Method
from core.signals import Signal, TokenStats
from core.trajectories import clustered, scaled, thinned


class LossTrajectory(Method):
    """S2L: cover the clusters of loss trajectories of a small proxy."""

    name = "loss_trajectory"
    title = "Loss trajectory"
    paper = "S2L (arXiv 2403.07384)"
    policy = "water_filling"
    columns = ("cluster", "distance", "loss_drop")
    pointwise = False  # clusters are those of the pool

    text: Literal["chat", "alpaca", "alpaca_input"] = Field(
        "chat",
        description="text that is trained and scored: the proxy's chat template, Alpaca wording,"
        " or Alpaca wording with a section for the input (the authors' code)",
    )
    proxy: str = Field(
        "embedded",
        min_length=1,
        max_length=200,
        description="name of the small model: embedded, a hub id, a folder or a .gguf file",
    )
    proxy_epochs: int = Field(3, ge=1, le=20, description="passes of the proxy over the pool")
    proxy_learning_rate: float = Field(
        2e-5, gt=0, le=1e-2, description="peak learning rate of the proxy"
    )
    proxy_batch: int = Field(8, ge=1, le=512, description="samples in one training step")
    proxy_adapter: Literal["full", "lora"] = Field(
        "full", description="weights of the proxy that move: all, or a LoRA adapter"
    )
    seed: int = Field(42, ge=0, lt=2**32, description="seed of the training order and of k-means")
    checkpoints: int = Field(
        12,
        ge=1,
        le=64,
        description="points of a trajectory, at equal distances, the last one at the end",
    )
    checkpoints_used: int = Field(
        64, ge=1, le=64, description="points that k-means sees: every (t // this)-th, all if fewer"
    )
    clusters: int = Field(100, ge=1, le=10_000, description="number of clusters (K)")
    scaling: Literal["none", "log1p", "unit"] = Field(
        "none", description="form of a trajectory for k-means: as it is, ln(1 + loss), or length 1"
    )
    unscored: Literal["exclude", "zero"] = Field(
        "exclude",
        description="fate of a sample without a loss: left out, or a loss of 0 (the authors' code)",
    )

    def needs(self) -> Mapping[str, Signal]:
        """Token statistics at each checkpoint of the proxy, in order of time."""
        warm_up = WarmUp(
            1.0,
            self.proxy_epochs,
            self.proxy_learning_rate,
            self.proxy_batch,
            self.seed,
            self.proxy_adapter,
            saves=self.checkpoints,
        )
        return {
            f"step_{k}": TokenStats(
                checkpoint="proxy",
                model=self.proxy,
                warm_up=warm_up,
                step=k if self.checkpoints > 1 else -1,
                template=self.text,
            )
            for k in range(self.checkpoints)
        }

    def reduce(self, x: Arrays) -> Arrays:
        """The trajectories (n, t) instead of the columns of each checkpoint."""
        steps = range(self.checkpoints)
        return {
            "trajectory": np.stack([np.asarray(x[f"step_{k}_nll"], float) for k in steps], axis=1),
            "n_tokens": np.asarray(x["step_0_n_tokens"], float),
            "over_long": np.asarray(x["step_0_over_long"], bool),
            "id_hash": np.asarray(x["id_hash"], np.int64),
        }

    def score(self, x: Arrays) -> Scores:
        """Value = -distance to the cluster's centre: the most typical of each is chosen first."""
        raw = np.asarray(x["trajectory"], np.float64)
        n_tokens = np.asarray(x["n_tokens"], np.float64)
        over_long = np.asarray(x["over_long"], bool)
        points = thinned(raw, self.checkpoints_used)
        if self.unscored == "zero":
            points = np.where(np.isnan(points), 0.0, points)
        empty = (n_tokens == 0) & ~over_long & (self.unscored == "exclude")
        broken = ~np.isfinite(points).all(1) & ~over_long & ~empty
        rows = np.flatnonzero(~(over_long | empty | broken))
        rows = rows[np.argsort(np.asarray(x["id_hash"])[rows], kind="stable")]  # no pool order
        cluster = np.full(len(raw), -1, np.int64)
        distance = np.full(len(raw), np.nan)
        cluster[rows], distance[rows] = clustered(
            scaled(points[rows], self.scaling), self.clusters, self.seed
        )
        sizes = np.bincount(cluster[rows], minlength=1)
        inside = cluster >= 0
        return Scores(
            -distance,
            group=cluster,
            excluded={
                "longer than the token limit": over_long,
                "no response tokens": empty,
                "a loss is not a number": broken,
            },
            diagnostics={
                "cluster": np.where(inside, cluster, np.nan),
                "cluster_size": np.where(inside, sizes[cluster], np.nan),
                "distance": distance,
                "first_loss": raw[:, 0],
                "last_loss": raw[:, -1],
                "loss_drop": raw[:, 0] - raw[:, -1],
                "n_tokens": n_tokens,
                "trajectory": raw,
            },
        )
