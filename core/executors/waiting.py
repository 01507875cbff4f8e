"""The blocks of a stage that nobody measures yet, and those that come back from the dead."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from core.blocks import Block, Task
from core.errors import RunError
from core.executors import wire

log = logging.getLogger(__name__)

TRIES = 3  # of a block whose workers die
SHORT = "If memory is short, use fewer of them (--workers 1) or a smaller --max-tokens."


class Waiting:
    """Blocks that no worker has; the samples of the first are read beforehand.

    `work` makes the message that hands a block over.
    """

    def __init__(
        self,
        task: Task,
        blocks: Sequence[Block],
        work: Callable[[Task, Block, int], dict[str, Any]] = wire.work,
    ) -> None:
        self._task, self._blocks, self._work = task, deque(blocks), work
        self._ready: tuple[Block, bytes] | None = None
        self._died: Counter[Block] = Counter()
        self._halvings: Counter[Block] = Counter()

    def __bool__(self) -> bool:
        return self._ready is not None or bool(self._blocks)

    def prepare(self) -> None:
        """Read the samples of the next block, while the workers are busy."""
        if self._ready is None and self._blocks:
            block = self._blocks.popleft()
            message = self._work(self._task, block, self._halvings[block])
            self._ready = (block, wire.packed(message))

    def take(self) -> tuple[Block, bytes]:
        """The next block, and the message that hands it over."""
        self.prepare()
        assert self._ready is not None, "asked for while blocks wait"
        taken, self._ready = self._ready, None
        return taken

    def lost(self, block: Block, how: str, short: bool = False) -> None:
        """The worker of a block has died; the block is put in front.

        `short`: maybe for want of memory, without a word. Then it is measured with half of what
        was read at once, and that by a worker that keeps to it.

        Raises:
            RunError: that happened to this block again and again.
        """
        self._halvings[block] += short
        less = ", with half as many tokens at once" if short else ""
        self._again(block, "a process that measures died", how, SHORT, less)

    def spoiled(self, block: Block, how: str, do: str) -> None:
        """The part of a block is of no use; the block is put in front. Raises: as `lost`."""
        self._again(block, "a part came damaged", how, do)

    def _again(self, block: Block, what: str, how: str, do: str, less: str = "") -> None:
        self._died[block] += 1
        if self._died[block] == TRIES:
            what = f"{what} {TRIES} times on the same block"
            raise RunError(block.ids[0][:8], what, got=how, do=do)
        log.warning("%s (%s); its block is measured again%s", what, how, less)
        self._blocks.appendleft(block)
