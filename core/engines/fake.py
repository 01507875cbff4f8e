"""An engine without a model, for tests of plumbing and for filling large stores.

Numbers come from hashes of the text: stable across machines, meaningless for people.
`SFTLENS_FAKE_DELAY_S` makes each sample take that long, so that a test can kill a run.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.templates import Template


class FakeEngine:
    """See `core.engines.Engine`."""

    block_tokens = 512

    def __init__(self, key: str = "fake") -> None:
        self.key = key
        self.delay_s = float(os.environ.get("SFTLENS_FAKE_DELAY_S", "0"))

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Words of the whole conversation plus one a turn."""
        return np.array([sum(_words(t.content) for t in s.turns) for s in samples], np.int64)

    def token_stats(
        self, samples: Sequence[Sample], template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Hashes as numbers: entropy in 0.2..3.2, NLL near it."""
        time.sleep(self.delay_s * len(samples))
        over_long = self.lengths(samples, template) > max_tokens
        draws = np.array([self._draws(s) for s in samples]).reshape(-1, 2)
        entropy = np.where(over_long, np.nan, 0.2 + 3 * draws[:, 0])
        nll = np.where(over_long, np.nan, 0.8 * entropy + 0.6 * draws[:, 1])
        n_tokens = np.array([_words(s.response) for s in samples], np.int64)
        return {"nll": nll, "entropy": entropy, "n_tokens": n_tokens, "over_long": over_long}

    def _draws(self, sample: Sample) -> tuple[float, float]:
        """Two numbers in 0..1: most of it from the text, a little from the checkpoint."""
        shared = _unit(sample.sample_id)
        own = _unit(self.key + sample.sample_id)
        return 0.9 * shared[0] + 0.1 * own[0], 0.9 * shared[1] + 0.1 * own[1]


def _words(text: str) -> int:
    return len(text.split()) + 1


def _unit(text: str) -> tuple[float, float]:
    digest = hashlib.sha256(text.encode("utf8", "surrogatepass")).digest()
    return tuple(int.from_bytes(digest[k : k + 8]) / 2**64 for k in (0, 8))  # type: ignore[return-value]
