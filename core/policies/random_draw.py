"""A random subset: what every selection has to beat."""

import numpy as np
from pydantic import Field

from core.domain import IntN
from core.policies import Candidates, Chosen, Policy, spend
from core.policies.budget import Budget


class RandomDraw(Policy):
    """Samples in an order that has nothing to do with their scores.

    Sample and seed alone decide the order: it is the same in a pool of another order, and a
    sample that is added does not shift the others.
    """

    name = "random"
    title = "Random"
    source = "the baseline of every paper"

    seed: int = Field(0, ge=0, lt=2**32, description="seed of the order")

    def choose(self, candidates: Candidates, budget: Budget) -> Chosen:
        """The first of the seeded order."""
        return Chosen(spend(shuffled(candidates.rows, candidates, self.seed), candidates, budget))


def shuffled(rows: IntN, candidates: Candidates, seed: int) -> IntN:
    """`rows` ordered by a hash of the sample's id and the seed."""
    ids = np.arange(candidates.n) if candidates.id_hash is None else candidates.id_hash
    return rows[np.lexsort((rows, _mixed(ids[rows], seed)))]


def _mixed(ids: IntN, seed: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """(n,) 64 bits in which every bit of id and seed counts: the finaliser of SplitMix64."""
    step, one, two = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], "u8")
    state = np.asarray(ids, np.uint64)
    for word in np.array([[seed], [0]], np.uint64):  # the seed goes in between two rounds
        state = state + step  # unsigned arrays wrap around, as they should
        state = (state ^ (state >> np.uint64(30))) * one
        state = (state ^ (state >> np.uint64(27))) * two
        state = (state ^ (state >> np.uint64(31))) ^ (word * step)
    return state
