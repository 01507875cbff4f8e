"""What verdicts say: a share with its interval, and how far reviewers agree.

A verdict is good, unsure or bad. A sample with several reviewers counts once, by the majority
of those who decided; a tie is unsure.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from core.curves import wilson

Verdict = Literal["good", "unsure", "bad"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FEWEST = 10  # samples that two reviewers share, below which no kappa is given
Z = 1.959963984540054  # 95 %

Marks = Mapping[str, str]  # sample id -> verdict


@dataclass(frozen=True)
class Estimate:
    """The share of good ones in a stratum of `size` samples, from a random part of it.

    `share` is that of good ones among those decided, NaN without any; `low` and `high` its 95 %
    interval. `worst` and `best` are the share if all unsure ones were bad, or good. `waiting`
    counts verdicts that come after the first sample without one.
    """

    size: int
    good: int
    unsure: int
    bad: int
    waiting: int
    low: float
    high: float

    @property
    def judged(self) -> int:
        """Samples that the estimate reads."""
        return self.good + self.unsure + self.bad

    @property
    def share(self) -> float:
        """Good ones among those decided; NaN without any."""
        decided = self.good + self.bad
        return self.good / decided if decided else np.nan

    @property
    def expected(self) -> tuple[int, int, int]:
        """Good ones among the `size` samples, and the ends of the interval, as whole numbers."""
        share = 0.0 if np.isnan(self.share) else self.share
        least = max(self.good, int(np.floor(self.size * self.low)))
        return round(self.size * share), least, int(np.ceil(self.size * self.high))

    @property
    def bounds(self) -> tuple[float, float]:
        """The share of good ones if all unsure ones were bad, and if all were good."""
        n = self.judged
        return (self.good / n, (self.good + self.unsure) / n) if n else (0.0, 1.0)


def estimate(drawn: Sequence[str], verdicts: Marks, size: int) -> Estimate:
    """The share of good ones among `size` samples of which `drawn` is a random draw in order.

    Read up to the first sample without a verdict: what was judged before it is a random draw,
    too, whatever made a person judge another one out of order. Wilson's interval with the
    finite population correction n' = n (N - 1) / (N - n): when all are judged no doubt is left.
    """
    ahead = next((k for k, i in enumerate(drawn) if i not in verdicts), len(drawn))
    said = [verdicts[i] for i in drawn[:ahead]]
    waiting = sum(i in verdicts for i in drawn[ahead:])
    good, unsure, bad = (said.count(name) for name in VERDICTS)
    low, high = interval(good, good + bad, max(size - unsure, good + bad))
    return Estimate(size, good, unsure, bad, waiting, low, high)


def interval(hits: int, n: int, size: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `size`, from `n` drawn without putting back; 0 to 1
    where nothing was drawn.
    """
    if n >= size:
        return (hits / n, hits / n) if n else (0.0, 1.0)
    grown = (size - 1) / (size - n)
    return wilson(hits * grown, n * grown, Z)


# and as East Asian keyboards write them, small, or as a printed minus
FORMULA = r"=+\-@|\uff1d\uff0b\uff0d\uff20\uff5c\ufe66\ufe62\ufe63\ufe6b\u2212"
# A spreadsheet that parts cells at semicolons or tabs does not heed the quotes of a comma's file:
# what stands behind one of them, or behind a line break, is a cell of its own there.
CELL = re.compile(rf"^(?=[\t\r])|(?:^|(?<=[;\t\r\n]))(?=(?:[^\S\t\r\n]|[\0\ufeff])*[{FORMULA}])")


def begins_formula(text: str) -> bool:
    """Whether a spreadsheet may take this text, or a part that it cuts off, for a formula."""
    return CELL.search(text) is not None


def guarded(text: str, mark: str = "'") -> str:
    """A text for a CSV file that no spreadsheet takes for a formula: a mark before each."""
    return CELL.sub(mark, text)


def majority(by_reviewer: Mapping[str, Marks]) -> dict[str, str]:
    """One verdict a sample: that of most who decided; unsure where none did, or in a tie."""
    votes: dict[str, int] = {}
    for marks in by_reviewer.values():
        for sample_id, verdict in marks.items():
            step = {"good": 1, "bad": -1}.get(verdict, 0)
            votes[sample_id] = votes.get(sample_id, 0) + step
    return {i: "good" if v > 0 else "bad" if v < 0 else "unsure" for i, v in votes.items()}


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the samples both judged.

    `same`: share of equal verdicts. `kappa`: Cohen's, (same - chance) / (1 - chance) with the
    chance of their own habits; NaN for fewer than `FEWEST` samples or when chance alone would
    make all equal. `low` and `high`: its approximate 95 % interval.
    """

    one: str
    other: str
    n: int
    same: float
    kappa: float
    low: float
    high: float


def agreements(by_reviewer: Mapping[str, Marks]) -> list[Agreement]:
    """Every pair of reviewers with a sample in common, the largest overlap first."""
    pairs = combinations(sorted(by_reviewer), 2)
    found = [agreement(a, by_reviewer[a], b, by_reviewer[b]) for a, b in pairs]
    return sorted((x for x in found if x.n), key=lambda x: -x.n)


def agreement(one: str, mine: Marks, other: str, theirs: Marks) -> Agreement:
    """Cohen's kappa over good, unsure, bad; its standard error is Cohen's own (1960):
    sqrt(same (1 - same) / n) / (1 - chance).
    """
    shared = sorted(mine.keys() & theirs.keys())
    n = len(shared)
    table = np.zeros((len(VERDICTS), len(VERDICTS)))
    for i in shared:
        table[VERDICTS.index(mine[i]), VERDICTS.index(theirs[i])] += 1
    same = float(np.trace(table)) / n if n else np.nan
    chance = float(table.sum(0) @ table.sum(1)) / n**2 if n else np.nan
    if n < FEWEST or chance >= 1:
        return Agreement(one, other, n, same, np.nan, np.nan, np.nan)
    kappa = (same - chance) / (1 - chance)
    half = Z * float(np.sqrt(same * (1 - same) / n)) / (1 - chance)
    return Agreement(one, other, n, same, kappa, max(-1.0, kappa - half), min(1.0, kappa + half))
