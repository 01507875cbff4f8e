"""Random: what every method must beat. The draw depends on seed and id, not on pool order.

value = splitmix64(id_hash + (seed + 1) * golden gamma) / 2^64, uniform in [0, 1); a HIGHER
value is chosen first. The first n are a simple random sample, and part of the first n + 1.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from core.domain import Arrays, FloatN, IntN, Scores
from core.methods import Method
from core.signals import Signal

GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / the golden ratio, odd
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


class Random(Method):
    """Baseline: a seeded draw that no order of the pool changes."""

    name = "random"
    title = "Random"
    paper = "baseline"
    policy = "top"
    columns = ("n_tokens",)
    pointwise = True
    baseline = True

    seed: int = Field(42, ge=0, lt=2**32, description="seed of the draw")

    def needs(self) -> Mapping[str, Signal]:
        """Nothing: the sample's id is enough."""
        return {}

    def score(self, x: Arrays) -> Scores:
        """Value = a uniform number in [0, 1): higher is chosen earlier."""
        return Scores(uniform(np.asarray(x["id_hash"], np.int64), self.seed))


def uniform(id_hash: IntN, seed: int) -> FloatN:
    """A number in [0, 1) for each hash, the same for the same hash and seed (splitmix64)."""
    with np.errstate(over="ignore"):  # modulo 2^64
        z = id_hash.astype(np.uint64) + GAMMA * np.uint64(seed + 1)
        for shift, factor in MIX:
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((z >> np.uint64(11)) * 2.0**-53, np.float64)
