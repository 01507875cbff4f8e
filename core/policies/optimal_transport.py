"""The samples that receive most when every query sends out the same mass."""

import numpy as np
from pydantic import Field
from scipy.special import logsumexp

from core.domain import FloatN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget
from core.policies.similarity import Similarity, closeness
from core.policies.top import ranked

STEPS, CLOSE = 1000, 1e-6  # most steps, and the change that ends them, as in POT


class OptimalTransport(Policy):
    """Unbalanced optimal transport of the queries onto the pool.

    Every query sends out 1/m; a sample may receive more or less than 1/n at a price. Entropy
    spreads a query's mass over the samples near it: a soft vote of all queries.
    """

    name = "optimal_transport"
    title = "Mass sent by all queries"
    source = "targeted instruction selection (arXiv 2602.14696)"
    needs = frozenset({"similarity"})

    epsilon: float = Field(
        0.01, gt=0, le=10, description="weight of the entropy: the lower, the fewer samples share"
    )
    column_penalty: float = Field(
        1e-4,
        gt=0,
        le=100,
        description="price of a sample receiving more or less than its equal part",
    )

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Most mass first; equal ones keep pool order."""
        rows, similarity = closeness(candidates, self.name)
        if not len(rows):
            return Chosen(rows)
        log_mass, settled = column_mass(similarity, self.epsilon, self.column_penalty)
        chosen = spend(rows[ranked(log_mass)], candidates, budget)
        note = f"The transport has not settled after {STEPS:,} steps. Lower column_penalty."
        return Chosen(chosen, () if settled else (note,))


def column_mass(similarity: Similarity, epsilon: float, penalty: float) -> tuple[FloatN, bool]:
    """Log of the mass each sample receives (n,), and whether the scalings have settled.

    With similarity (n, m), a = 1/m, b = 1/n, cost C = (1 - similarity) / 2, the plan T minimises
    <T, C> + epsilon KL(T | b a') + penalty KL(row sums | b) with column sums equal to a. It is
    T = diag(v) K diag(u), K = b a' exp(-C / epsilon); Sinkhorn's steps find u and v, here their
    logs, so that no small epsilon turns a far sample into a zero.
    """
    n, m = similarity.shape
    log_k = (np.asarray(similarity, np.float64) - 1) / (2 * epsilon) - np.log(n * m)
    free = penalty / (penalty + epsilon)  # 0: a sample may receive anything
    log_u, log_v = np.zeros(m), np.zeros(n)
    for _ in range(STEPS):
        before = log_u, log_v
        log_u = -np.log(m) - logsumexp(log_k + log_v[:, None], axis=0)  # u = a / K'v
        received = logsumexp(log_k + log_u, axis=1)  # (n,) log of Ku
        log_v = free * (-np.log(n) - received)  # v = (b / Ku) ^ free
        if _change(log_u, before[0]) + _change(log_v, before[1]) < 2 * CLOSE:
            return log_v + received, True
    return log_v + received, False


def _change(log_new: FloatN, log_old: FloatN) -> float:
    """The largest change of a scaling, by its largest value or by 1, given the logs."""
    most = max(float(log_new.max()), float(log_old.max()), 0.0)
    return float(np.abs(np.exp(log_new - most) - np.exp(log_old - most)).max())
