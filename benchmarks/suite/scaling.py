"""Scaling."""

from collections.abc import Callable, Iterator

from benchmarks.suite.bench import Bench, Row

GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {}
