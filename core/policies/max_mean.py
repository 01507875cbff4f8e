"""The samples closest to any subtask, a subtask being some queries taken together."""

from pydantic import Field

from core.domain import FloatN
from core.errors import BudgetError
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget
from core.policies.similarity import Similarity, closeness
from core.policies.top import ranked


class MaxMean(Policy):
    """LESS: the mean similarity to the queries of a subtask, and the best subtask of a sample."""

    name = "max_mean"
    title = "Closest to any subtask"
    source = "LESS (arXiv 2402.04333)"
    needs = frozenset({"similarity"})

    subtasks: int = Field(
        1,
        ge=1,
        le=100_000,
        description="subtasks of the query set: groups of equally many queries that follow one"
        " another",
    )

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Closest first; equal ones keep pool order."""
        rows, similarity = closeness(candidates, self.name)
        queries = similarity.shape[1]
        if queries % self.subtasks:
            fits = [str(k) for k in range(1, queries + 1) if queries % k == 0]
            do = f"Use one of: {', '.join(fits)}."
            what = f"{queries} queries cannot be shared out equally"
            raise BudgetError("max_mean.subtasks", what, got=self.subtasks, do=do)
        order = ranked(max_mean(similarity, self.subtasks))
        return Chosen(spend(rows[order], candidates, budget))


def max_mean(similarity: Similarity, subtasks: int) -> FloatN:
    """(n,) the largest of the mean similarities to the subtasks, from `similarity` (n, m)."""
    n, m = similarity.shape
    influence: FloatN = similarity.reshape(n, subtasks, m // subtasks).mean(2).max(1)
    return influence
