"""Where blocks are measured. Every executor calls the same function on the same blocks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from core.blocks import Block


class Executor(Protocol):
    """Maps a function over blocks and yields what it returns."""

    def map(self, task: Callable[[Block], Block], blocks: Sequence[Block]) -> Iterator[Block]:
        """Yield `task(block)` for each block."""
        ...


class Serial:
    """One block after another, in this process."""

    def map(self, task: Callable[[Block], Block], blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`."""
        return map(task, blocks)
