"""Does work grow as the pool does? The slope of log(time) over log(n), stage by stage.

A slope of 1 is linear. Each stage is called once before, so that what is loaded or compiled once
does not count. Where a call opens a file or a store, what it costs for `FEW` samples is taken off.
Sizes span a factor of ten.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.suite.bench import Bench, Row

LINEAR = (0.95, 1.05)
ROUNDS = 3
SPAN = 10
FEW = 10  # samples, for the cost of a start
Work = Callable[[], object]


@dataclass(frozen=True)
class Stage:
    """A part of the product: `make(n)` prepares the work on n samples, outside the clock.

    `quick` and `full` are the smallest sizes; the largest is ten times as large. `opens`: it has a
    start whose cost is taken off. `linear` is False where the algorithm that is implemented is
    not, by its own definition, and for what only stands beside the others.
    """

    name: str
    make: Callable[[int], Work]
    quick: int
    full: int
    opens: bool = False
    linear: bool = True

    def sizes(self, quick: bool) -> list[int]:
        """Three sizes, evenly spaced on a log scale."""
        least = self.quick if quick else self.full
        return [least, round(least * SPAN**0.5), least * SPAN]


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Of the line through log(seconds) over log(sizes), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def slopes(bench: Bench, stages: list[Stage]) -> Iterator[Row]:
    """B11: a row a stage, and one for all of them with the slope farthest from 1."""
    found: dict[str, float] = {}
    for stage in stages:
        sizes = stage.sizes(bench.quick)
        start, *seconds = _measured(bench, stage, sizes)
        ratio = slope(sizes, seconds)
        per = 1e6 * seconds[-1] / sizes[-1]
        note = f"{seconds[0]:.3g} s to {seconds[-1]:.3g} s, at last {per:,.3g} us a sample"
        note += f", without {start:.2g} s of a start" if start else ""
        what = f"{stage.name}, slope over {sizes[0]:,} to {sizes[-1]:,} samples"
        target = LINEAR if stage.linear else None
        yield bench.row(f"b11.{stage.name}", what, ratio, target, True, note=note)
        if stage.linear:
            found[stage.name] = ratio
    worst = max(found, key=lambda name: abs(found[name] - 1))
    outside = [name for name, ratio in found.items() if not LINEAR[0] <= ratio <= LINEAR[1]]
    note = f"outside: {', '.join(outside) or 'none'}"
    what = f"slope of log(time) over log(n), the one farthest from 1: {worst}"
    yield bench.row("b11", what, found[worst], LINEAR, True, note=note)


def _measured(bench: Bench, stage: Stage, sizes: list[int]) -> list[float]:
    """Seconds of a start, 0 without one, and of each size without it: the least of some rounds.

    The sizes take turns, so that all meet the same machine.
    """
    works = [stage.make(n) for n in ([FEW] if stage.opens else []) + sizes]
    works[0]()
    rounds = 1 if bench.quick else ROUNDS
    least = [
        min(x)
        for x in zip(*([bench.seconds(w) for w in works] for _ in range(rounds)), strict=True)
    ]
    start = least.pop(0) if stage.opens else 0.0
    return [start, *(max(seconds - start, 1e-9) for seconds in least)]
