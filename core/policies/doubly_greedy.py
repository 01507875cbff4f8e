"""The samples closest to any query."""

from core.domain import IntN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget
from core.policies.similarity import Similarity, closeness
from core.policies.top import ranked


class DoublyGreedy(Policy):
    """The samples whose nearest query is nearest. One query may take the whole budget."""

    name = "doubly_greedy"
    title = "Closest to any query"
    source = "targeted instruction selection (arXiv 2602.14696)"
    needs = frozenset({"similarity"})

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """Closest first; equal ones keep pool order."""
        rows, similarity = closeness(candidates, self.name)
        return Chosen(spend(rows[doubly_greedy(similarity)], candidates, budget))


def doubly_greedy(similarity: Similarity) -> IntN:
    """Samples by max_q similarity[:, q], highest first; ties: the earlier row."""
    return ranked(similarity.max(1))
