"""Whether a column of scores can be trusted: what is missing, stuck, tied, or only length.

Each check gives a finding: a level, a sentence with its number, and what to do about it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.domain import FloatN
from core.ranks import places, spearman

Level = Literal["good", "watch", "bad", "unknown"]

MISSING = (0.05, 0.5)  # share without a score from which to watch, from which it is bad
TIED = (0.05, 0.5)  # share that has its score in common with others
CONFOUND = (0.5, 0.8)  # |rank correlation| with length
AGREES = (0.9, 0.7)  # rank correlation between two seeds below which to watch, below which bad


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `check` names it, `do` is empty where nothing is to be done."""

    check: str
    level: Level
    says: str
    do: str = ""


def level(value: float, watch: float, bad: float) -> Level:
    """Where a number stands between two limits; `bad` below `watch` means that less is worse."""
    sign = 1 if bad >= watch else -1
    if sign * value >= sign * bad:
        return "bad"
    return "watch" if sign * value >= sign * watch else "good"


def missing(value: FloatN, reasons: Mapping[str, int]) -> Finding:
    """How many samples have no score, and why: `reasons` counts samples by reason."""
    n, none = len(value), int(np.isnan(value).sum())
    if not none:
        return Finding("coverage", "good", f"All {n:,} samples have a score.")
    why = "; ".join(f"{k:,} {reason}" for reason, k in reasons.items())
    grade = level(none / n, *MISSING)
    says = f"{none:,} of {n:,} samples ({100 * none / n:.1f} %) have no score: {why}."
    do = "" if grade == "good" else "Read some of them before trusting what is left."
    return Finding("coverage", grade, says, do)


def constant(value: FloatN) -> Finding | None:
    """A score that is always the same orders nothing; None where it does differ."""
    known = value[np.isfinite(value)]
    if len(known) < 2 or known.min() != known.max():
        return None
    says = f"Every score is {known[0]:.6g}: the order is that of the pool."
    do = "Check the model and the parameters of the run, or rank by another run."
    return Finding("spread", "bad", says, do)


def ties(value: FloatN) -> Finding:
    """How many samples have their score in common with another; ties keep the pool's order."""
    known = value[np.isfinite(value)]
    _, sizes = np.unique(known, return_counts=True)
    tied = int(sizes[sizes > 1].sum())
    if not tied:
        return Finding("ties", "good", "No two samples have the same score.")
    share, largest = tied / len(known), int(sizes.max())
    says = (
        f"{tied:,} samples ({100 * share:.1f} %) share their score with another; the largest tie"
        f" holds {largest:,}."
    )
    grade = level(share, *TIED)
    do = "" if grade == "good" else "Among ties the pool's order decides: break them with a rule."
    return Finding("ties", grade, says, do)


def length_confound(value: FloatN, n_tokens: FloatN) -> Finding | None:
    """Whether the score is mostly length; None where it cannot be told."""
    rho, n = spearman(value, n_tokens)
    if np.isnan(rho):
        return None
    grade = level(abs(rho), *CONFOUND)
    what = "long" if rho > 0 else "short"
    if grade == "good":
        says = f"Rank correlation with the response length is {rho:+.2f} over {n:,} samples."
        return Finding("length", grade, says)
    says = f"It prefers {what} responses: rank correlation with the length is {rho:+.2f}."
    do = "Compare with a random draw of the same lengths, or bound the length with a rule."
    return Finding("length", grade, says, do)


def seeds(value: FloatN, other: FloatN, budget: int, names: tuple[object, object]) -> Finding:
    """How far two runs that differ by their seed alone agree, over all and at a budget."""
    rho, _ = spearman(value, other)
    size = min(budget, int(np.isfinite(value).sum()), int(np.isfinite(other).sum()))
    both = int(((places(value) < size) & (places(other) < size)).sum())
    shared = both / size if size else 0.0
    # a rank correlation of NaN says nothing: one of the two never changes
    grade: Level = "bad" if np.isnan(rho) else level(rho, *AGREES)
    says = (
        f"Seeds {names[0]} and {names[1]}: rank correlation {rho:.2f}, and {100 * shared:.0f} % of"
        f" the best {size:,} are the same."
    )
    do = "" if grade == "good" else "Average several seeds, or keep what both keep (Compare)."
    return Finding("seeds", grade, says, do)


def findings(value: FloatN, n_tokens: FloatN | None, reasons: Mapping[str, int]) -> list[Finding]:
    """All checks of one run that need no other run: coverage, spread or ties, length."""
    found = [missing(value, reasons), constant(value) or ties(value)]
    length = None if n_tokens is None else length_confound(value, n_tokens)
    return found if length is None else [*found, length]


def seed_partners(
    params: Mapping[str, Mapping[str, object]], name: str = "seed"
) -> list[tuple[str, str]]:
    """Pairs of runs whose parameters differ by their seed alone; `params` is run id -> parameters.

    Each run is paired with the first that it can be compared to, so k seeds give k - 1 pairs.
    """
    first: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for run_id, own in params.items():
        if name not in own:
            continue
        rest = repr(sorted((k, v) for k, v in own.items() if k != name))
        if rest in first and params[first[rest]][name] != own[name]:
            pairs.append((first[rest], run_id))
        first.setdefault(rest, run_id)
    return pairs
