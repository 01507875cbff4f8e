"""Scaling: with processes, and with the size of the pool."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.suite import stages
from benchmarks.suite.bench import Bench, Row
from benchmarks.suite.side_by_side import b9
from benchmarks.suite.slopes import slopes


def linear(bench: Bench) -> Iterator[Row]:
    """B11: the slope of log(time) over log(n) is 1 in every stage."""
    with tempfile.TemporaryDirectory() as folder:
        yield from slopes(bench, stages.every(bench, Path(folder)))


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {"b9": b9, "b11": linear}
