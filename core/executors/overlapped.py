"""Blocks that wait for another machine: several at once, so that it is never idle between two.

The engine bounds how many requests are under way, whichever block they belong to. This process
reads the samples and hears of the blocks; threads do nothing but wait.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Protocol

from core.blocks import Block, Task


class Closed(Protocol):
    """What holds connections."""

    def close(self) -> None:
        """Give up what is under way."""
        ...


class Overlapped:
    """Measures `blocks_at_once` blocks at a time, and closes the engine at its end."""

    def __init__(self, engine: Closed, blocks_at_once: int) -> None:
        self.engine, self.blocks_at_once = engine, blocks_at_once

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`.

        Raises: as the task does; what other blocks were waiting for is given up.
        """
        waiting, going = deque(blocks), set[Future[Block]]()
        with ThreadPoolExecutor(self.blocks_at_once) as pool:
            try:
                while waiting or going:
                    while waiting and len(going) < self.blocks_at_once:
                        block = waiting.popleft()
                        going.add(pool.submit(_with_samples(task, block), block))
                    done, going = wait(going, return_when=FIRST_COMPLETED)
                    for each in done:
                        yield each.result()
            finally:  # Ctrl-C too: threads that wait for the engine hear of it at once
                self.engine.close()


def _with_samples(task: Task, block: Block) -> Task:
    """The task with the samples of a block in hand."""
    samples = task.fetch(block.ids)
    return replace(task, fetch=lambda ids: samples)


def enough(at_once: int, per_block: int) -> int:
    """Blocks at a time that keep so many requests under way, if each sample is one request."""
    return 1 + -(-2 * at_once // max(per_block, 1))
