"""A column as colours: each number a step between two ends, each category a step of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.point_cloud import NOTHING, STEPS, FloatN, key_of

Kind = Literal["sequence", "diverging", "category"]
Bounds = tuple[float | None, float | None]

TAIL = 0.005  # of the numbers at either end share the end's colour
NAMED = 8  # categories that people can tell apart by colour


@dataclass(frozen=True)
class Colouring:
    """Numbers of n samples: `payload` has 2 bytes each, in pool order.

    A number is low + (high - low) * step / STEPS; beyond `low` and `high` it is the end's. Of a
    category the step is its place in `names`, the most frequent first.
    """

    key: str
    kind: Kind
    low: float
    high: float
    names: tuple[str, ...]
    payload: bytes
    clipped: bool = False  # there are numbers beyond the ends

    @property
    def can_be_bounded(self) -> bool:
        """Whether a range of it may leave anything out: numbers that differ."""
        return self.kind != "category" and self.high > self.low

    def numbers(self, shares: Any) -> Bounds:
        """A range of the column from a range of the colours (0 to 1); at its ends it is open."""
        try:
            low, high = (float(share) for share in shares)
        except (TypeError, ValueError):
            return None, None
        width = self.high - self.low
        return (
            self.low + width * low if 0 < low <= 1 else None,
            self.low + width * high if 0 <= high < 1 else None,
        )

    def shares(self, bounds: Bounds) -> tuple[float, float]:
        """A range of the colours (0 to 1) from a range of the column."""
        width = (self.high - self.low) or 1.0
        low, high = (None if end is None else (end - self.low) / width for end in bounds)
        return (
            0.0 if low is None else min(max(low, 0.0), 1.0),
            1.0 if high is None else min(max(high, 0.0), 1.0),
        )


def pack_numbers(values: FloatN, kind: Kind = "sequence") -> Colouring:
    """Pack a column (n,) to colour by; NaN has no colour.

    The ends are the quantiles at `TAIL` and 1 - `TAIL`, so that a few extreme numbers do not
    take all colours; those of "diverging" are as far below zero as above it.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = np.quantile(finite, [TAIL, 1 - TAIL]).tolist() if len(finite) else (0.0, 0.0)
    if low == high and len(finite):
        low, high = float(finite.min()), float(finite.max())
    if kind == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    steps = np.where(np.isnan(share), NOTHING, np.rint(np.clip(share, 0, 1) * STEPS))
    payload = steps.astype("<u2").tobytes()
    clipped = bool(len(finite)) and (finite.min() < low or finite.max() > high)
    return Colouring(key_of(payload), kind, low, high, (), payload, clipped)


def pack_categories(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> Colouring:
    """Pack categories (n,), each a position in `names`, -1 for none.

    Where there are more than `NAMED`, the least frequent of them become one, "other".
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    chosen = order if len(order) <= NAMED else order[: NAMED - 1]
    step = np.full(len(counts) + 1, len(chosen))  # the last is for -1
    step[chosen] = np.arange(len(chosen))
    step[-1] = NOTHING
    payload = step[codes].astype("<u2").tobytes()
    shown = tuple(names[c] for c in chosen) + (("other",) if len(order) > len(chosen) else ())
    return Colouring(key_of(payload), "category", 0, STEPS, shown, payload)
