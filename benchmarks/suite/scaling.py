"""Scaling."""

from collections.abc import Callable, Iterator

from benchmarks.suite.bench import Bench, Row
from benchmarks.suite.side_by_side import b9

GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {"b9": b9}
