"""N processes of one thread each, which measure blocks side by side.

Two threads of one process wait for each other at every product, and collapse beside another busy
process; two processes of one thread do neither. Workers are started as a module of their own and
spoken to through pipes (see `core.executors.worker`), so nothing of the parent runs again in them,
be it a page of the app. They get the samples from the parent, live as long as the executor, and
end with the parent however it ends.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from queue import Queue
from typing import Any

from core.blocks import Block, Task
from core.errors import RunError
from core.executors import room, wire
from core.executors.child import Child, Heard

log = logging.getLogger(__name__)

WORTH_BLOCKS = 3  # of one run; fewer are done sooner than workers have read their libraries
TRIES = 3  # of a block whose workers die
END_S = 1.0  # for a worker to end by itself


class _Waiting:
    """Blocks of a stage that no worker has; the samples of the first are read beforehand."""

    def __init__(self, task: Task, blocks: Sequence[Block]) -> None:
        self._task, self._blocks = task, deque(blocks)
        self._ready: tuple[Block, bytes] | None = None

    def __bool__(self) -> bool:
        return self._ready is not None or bool(self._blocks)

    def prepare(self) -> None:
        """Read the samples of the next block, while the workers are busy."""
        if self._ready is None and self._blocks:
            block = self._blocks.popleft()
            self._ready = (block, wire.packed(wire.work(self._task, block)))

    def take(self) -> tuple[Block, bytes]:
        """The next block, and the message that hands it over."""
        self.prepare()
        assert self._ready is not None, "asked for while blocks wait"
        taken, self._ready = self._ready, None
        return taken

    def back(self, block: Block) -> None:
        """Put a block in front whose worker has died."""
        self._blocks.appendleft(block)


class Processes:
    """Measures blocks in `workers` processes of one thread, or of one GPU, each.

    None: as many as there is room for, and in this process, on one thread too, what is not worth
    starting them. A number is obeyed, but no worker is started for a block that is alone. Used as
    a context: its end is theirs.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers
        self._there: list[Child] = []
        self._heard: Heard = Queue()
        self._seen = 0  # blocks of this run so far
        self._said: set[tuple[Any, ...]] = set()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`.

        Raises:
            RunError: a block ended the worker that measured it again and again.
            WorkerFault: a programming error in a worker.
            SFTLensError, OSError: as the task raised it.
        """
        fit = room.workers(task, sum(child.memory() for child in self._there))
        wanted = fit if self.workers is None else self.workers
        if task.engine.precision.device != "cpu":
            wanted = min(wanted, fit)  # a GPU is never shared
        self._seen += len(blocks)
        if len(self._there) > wanted:  # of a stage that needed less memory
            self.close()
        if wanted < 2:
            yield from map(task, blocks)  # with all the threads there are
        elif not self._worth(task, blocks):
            for block in blocks:
                with room.one_thread(task.engine):
                    task(block)
                yield block
        else:
            yield from self._shared(task, blocks, min(wanted, len(blocks)))

    def _worth(self, task: Task, blocks: Sequence[Block]) -> bool:
        """Whether workers are sooner done, the seconds of starting them counted in."""
        if len(blocks) < 2 or self.workers is not None or self._there:
            return len(blocks) > 1
        return bool(task.engine.checkpoint.folder) and self._seen >= WORTH_BLOCKS

    def _shared(self, task: Task, blocks: Sequence[Block], count: int) -> Iterator[Block]:
        waiting, died = _Waiting(task, blocks), Counter[Block]()
        try:
            while waiting or any(child.block for child in self._there):
                self._give(waiting, count, task.engine.precision.device)
                child, message = self._heard.get()
                if message is None:
                    self._bury(child, waiting, died)
                elif "log" in message:
                    self._repeat(*message["log"])
                elif "done" in message and child.block is not None:
                    block, child.block = child.block, None
                    yield block
                else:
                    raise wire.raised(message)
        except BaseException:  # Ctrl-C too, and a caller who wants no more
            self.close()
            raise

    def _give(self, waiting: _Waiting, count: int, device: str) -> None:
        """A block to each worker that has none, workers to blocks that have none."""
        while waiting:
            idle = next((child for child in self._there if child.block is None), None)
            if idle is None and len(self._there) >= count:
                break
            (idle or self._start(device)).give(*waiting.take())
        waiting.prepare()

    def _start(self, device: str) -> Child:
        """A new worker with the lowest number that is free."""
        taken = {child.number for child in self._there}
        number = next(k for k in range(len(taken) + 1) if k not in taken)
        self._there.append(Child(number, device, self._heard))
        return self._there[-1]

    def _repeat(self, name: str, level: int, text: str) -> None:
        """A worker's log line as one of this process; what all of them say is said once."""
        if (name, level, text) not in self._said:
            self._said.add((name, level, text))
            logging.getLogger(name).log(level, "%s", text)

    def _bury(self, child: Child, waiting: _Waiting, died: Counter[Block]) -> None:
        """A worker has gone; its block is the next to be given."""
        self._there.remove(child)
        how = child.end(time.monotonic() + END_S)
        if child.block is None:
            return
        died[child.block] += 1
        if died[child.block] == TRIES:
            what = f"a process that measures died {TRIES} times on the same block"
            do = "If memory is short, use fewer of them (--workers 1) or a smaller --max-tokens."
            raise RunError(child.block.ids[0][:8], what, got=how, do=do)
        log.warning("a process that measures died (%s); its block is measured again", how)
        waiting.back(child.block)

    def close(self) -> None:
        """End all workers; what they were measuring is lost, and nothing else."""
        for child in self._there:
            child.dismiss()
        deadline = time.monotonic() + END_S
        while self._there:
            self._there.pop().end(deadline)
        while not self._heard.empty():  # what they did last is for nobody, what they logged is
            _, message = self._heard.get()
            if message is not None and "log" in message:
                self._repeat(*message["log"])
