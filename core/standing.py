"""Where one number stands among the others, in words."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Standing:
    """A sample's number in a column, and how many others are below, above, and known at all.

    `of` counts the other samples with a number, in the pool and then in the sample's source.
    """

    column: str
    value: float
    below: int
    above: int
    of: int
    source_below: int
    source_above: int
    source_of: int

    def sentence(self) -> str:
        """`lower than 88 % of the pool, lower than 64 % of its source`."""
        if np.isnan(self.value):
            return "no number"
        if not self.of:
            return "the only one with a number"
        if not self.below and not self.above:
            return "equal to all others"
        higher = self.below >= self.above
        pool = self.below if higher else self.above
        mine = self.source_below if higher else self.source_above
        words = ("the highest", "higher than") if higher else ("the lowest", "lower than")
        source = _part(words, mine, self.source_of, "its source") if self.source_of else ""
        return _part(words, pool, self.of, "the pool") + (f", {source}" if source else "")


def shown(value: float) -> str:
    """A number as people read it: four digits, thousands apart, a minus that is one."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"
    return text.replace("-", "−")


def _part(words: tuple[str, str], part: int, whole: int, name: str) -> str:
    if part == whole:
        return f"{words[0]} of {name}"
    return f"{words[1]} {_share(part, whole)} of {name}"


def _share(part: int, whole: int) -> str:
    """Whole per cents; nothing is rounded to all or to none."""
    share = 100 * part / whole
    if 0 < part < whole:
        share = min(max(share, 1), 99) if not 1 <= share <= 99 else share
    return f"{share:.0f} %"
