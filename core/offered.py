"""Arrays that are promised by name and read when they are looked at."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray


class Arrays(Mapping[str, NDArray[Any]]):
    """Named arrays that are read from disk when they are asked for, each time anew.

    So a method that looks at one big matrix after the other never holds two of them.
    """

    def __init__(self) -> None:
        self._read: dict[str, Callable[[], NDArray[Any]]] = {}

    def offer(self, name: str, read: Callable[[], NDArray[Any]]) -> None:
        """Promise an array by this name."""
        self._read[name] = read

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._read[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)
