"""What a worker does with a message: load the engine, measure the block, write its part."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import blocks
from core.engines import loader
from core.engines.loader import Loadable
from core.executors import room, wire


class Measurer:
    """Measures one block after the other, and keeps the engine of the last.

    `card`: which GPU is this worker's own. `writing` is held while a part is written and while
    `written` is told of it, so that who holds it can end the process between two parts.
    """

    def __init__(self, card: int, written: Callable[[Path], object] = lambda path: None) -> None:
        self.writing = threading.Lock()
        self._card, self._written = card, written
        self._engine: Loadable | None = None
        self._halvings = 0  # of the engine, that the parent asked for

    def measure(self, message: Mapping[str, Any]) -> None:
        """Measure the block of a message from `wire.work`, on one thread or one GPU."""
        task, block = wire.task_of(message, self._loaded(message))
        with room.one_thread(task.engine):
            arrays = task.measured(block)
        with self.writing:
            self._written(blocks.write_part(task.folder, block.ids, arrays))

    def _loaded(self, message: Mapping[str, Any]) -> Loadable:
        """The engine of a checkpoint, with a budget that was halved as often as is asked.

        The last one is kept, and its smaller budget with it.
        """
        checkpoint, precision = wire.made(message["checkpoint"]), wire.made(message["precision"])
        if precision.device == "cuda":  # any card will do, and each worker has its own
            precision = replace(precision, device=f"cuda:{self._card}")
        kept = self._engine
        if kept is None or (kept.checkpoint, kept.precision) != (checkpoint, precision):
            self._engine = None  # so that two models are never there at once
            self._engine = kept = loader.load(checkpoint, precision)
            self._halvings = 0
        while self._halvings < message["halvings"]:
            self._halvings += 1
            kept.halve()  # where it is at its least already, nothing changes
        return kept
