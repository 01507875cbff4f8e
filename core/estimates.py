"""What a run will cost: work and rates -> seconds, shapes -> bytes. Numbers in, numbers out.

Work is counted in tokens, as if each cost the same. A text of T tokens, R of which meet the head
of a model with L layers, P_b weights in its body, width d and V tokens, costs

    T + attention T^2 + head R,    attention = L d / P_b,  head = d V / P_b

tokens: its useful operations 2 P_b T + 2 L d T^2 + 2 d V R over those of one token. So rates
that were measured on short texts hold for longer ones. Rates are those of one process.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Amounts = Mapping[str, float]  # kind of work -> how much of it
BACKWARD = 1.5  # how much more the attention weighs, beside the body, in a backward pass
MARGIN = 1.05  # of free space: file systems keep whole blocks, and stores grow by steps


@dataclass(frozen=True)
class Cost:
    """What attention and head add to a token's own cost, in tokens. See the module."""

    attention: float = 0.0
    head: float = 0.0

    def of(self, tokens: NDArray[Any], heads: Any = 0, attention: float = 1.0) -> float:
        """Work in tokens of texts of `tokens` (n,), `heads` (n,) of which meet the head."""
        t = np.asarray(tokens, np.float64)
        return float(np.sum(t + attention * self.attention * t**2 + self.head * np.asarray(heads)))


def cost(body: int, layers: int, width: int, vocabulary: int) -> Cost:
    """The cost of a model whose body has `body` weights."""
    return Cost(layers * width / body, width * vocabulary / body)


@dataclass(frozen=True)
class Rates:
    """How fast one process measures with a model at a precision, as it was measured.

    `per_s`: units a second of each kind of work. `load_s`: seconds until the model is ready.
    `ends`: share of sampled tokens that end an answer. `answer_bytes`: bytes on disk of an
    answer for each token it may have. `characters`: tokens = a characters + b, of prompt and
    response (a, b) and of the response alone (a, b). `shared`: tokens that all prompts of its chat
    template begin with. `limit`: longest text of the model.
    """

    model: str
    key: str
    precision: str
    how: str
    date: str
    path: str
    threads: int
    versions: Mapping[str, str]
    per_s: Amounts
    cost: Cost = field(default_factory=Cost)
    load_s: float = 0.0
    ends: float = 0.0
    answer_bytes: float = 4.0
    characters: tuple[float, float, float, float] = (0.25, 30.0, 0.25, 1.0)
    shared: int = 0
    limit: int = 2**31

    def seconds(self, amounts: Amounts) -> float | None:
        """Of this work; None where a rate is not known."""
        if any(amount and not self.per_s.get(kind) for kind, amount in amounts.items()):
            return None
        return sum(amount / self.per_s[kind] for kind, amount in amounts.items() if amount)


def sampled(ends: float, most: int) -> float:
    """Mean tokens of an answer that may have `most`, if each ends it with the odds `ends`."""
    return (1 - (1 - ends) ** most) / ends if ends > 0 else float(most)


def longest(ends: float, most: int, answers: int) -> float:
    """Tokens of the longest of some answers, under the same odds: ln(answers) / ends or so."""
    return min(most, (math.log(max(answers, 1)) + 0.58) / ends) if ends > 0 else float(most)


def two_rates(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Rates r, s of two kinds of work from two measurements (amount of r, of s, seconds).

    amount_r / r + amount_s / s = seconds in both. Where noise would make one negative, all of
    the time is the other's.
    """
    (a, b, t), (c, d, u) = first, second
    determinant = a * d - b * c
    if determinant == 0:
        return (a + c) / (t + u), math.inf
    x, y = (d * t - b * u) / determinant, (a * u - c * t) / determinant
    if x <= 0:
        return math.inf, (b + d) / (t + u)
    if y <= 0:
        return (a + c) / (t + u), math.inf
    return 1 / x, 1 / y


@dataclass(frozen=True)
class Stage:
    """One step of a run: how much of how much is left, its seconds and its bytes.

    `seconds` None: nobody knows. `kept` stays on disk, `passing` is needed while it goes on.
    `memory`: bytes of the weights (and of what training keeps beside them) that it holds.
    `workers`: processes that share it.
    """

    name: str
    unit: str
    total: int
    left: int
    seconds: float | None
    kept: int = 0
    passing: int = 0
    memory: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Estimate:
    """The steps of a run in order, and where their rates are from."""

    stages: Sequence[Stage]
    rates: Sequence[str] = ()

    @property
    def seconds(self) -> float | None:
        """Of all steps; None where one is not known."""
        each = [stage.seconds for stage in self.stages]
        return None if None in each else sum(s for s in each if s is not None)

    @property
    def kept(self) -> int:
        """Bytes that the run leaves."""
        return sum(stage.kept for stage in self.stages)

    @property
    def needed(self) -> int:
        """Bytes that must be free: what is kept up to a step, and what passes in it."""
        so_far, most = 0, 0
        for stage in self.stages:
            so_far += stage.kept
            most = max(most, so_far + stage.passing)
        return most

    @property
    def workers(self) -> int:
        """Processes that measure side by side, in the step that has most."""
        return max((stage.workers for stage in self.stages), default=1)

    @property
    def memory(self) -> int:
        """Bytes of the largest step's weights."""
        return max((stage.memory for stage in self.stages), default=0)

    def fits(self, free: int) -> bool:
        """Whether so many free bytes are enough."""
        return not self.needed or self.needed * MARGIN <= free


def scaled(amounts: Amounts, n: int, seen: int) -> dict[str, float]:
    """Work of n samples from that of `seen` of them."""
    return {kind: amount * n / max(seen, 1) for kind, amount in amounts.items()}


def size(n_bytes: float) -> str:
    """Bytes as a person says them: 12 kB, 3.4 MB, 1.2 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            digits = 1 if n_bytes < 10 * scale else 0
            return f"{n_bytes / scale:,.{digits}f} {unit}"
    return f"{n_bytes:,.0f} bytes"
