"""N processes of one thread each, which measure blocks side by side.

Two threads of one process wait for each other at every product, and collapse beside another busy
process; two processes of one thread do neither. Workers are started as a module of their own and
spoken to through pipes (see `core.executors.worker`), so nothing of the parent runs again in them,
be it a page of the app. They get the samples from the parent, live as long as the executor, and
end with the parent however it ends.
"""

import time
from collections.abc import Iterator, Sequence
from queue import Queue

from core.blocks import Block, Task
from core.executors import room, wire
from core.executors.child import Child, Heard
from core.executors.lines import Repeater
from core.executors.waiting import Waiting

WORTH_BLOCKS = 3  # of one run; fewer are done sooner than workers have read their libraries
END_S = 1.0  # for a worker to end by itself


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
        self._repeat = Repeater()

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
        waiting = Waiting(task, blocks)
        try:
            while waiting or any(child.block for child in self._there):
                self._give(waiting, count, task.engine.precision.device)
                child, message = self._heard.get()
                if message is None:
                    self._bury(child, waiting)
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

    def _give(self, waiting: Waiting, count: int, device: str) -> None:
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

    def _bury(self, child: Child, waiting: Waiting) -> None:
        """A worker has gone; its block is the next to be given."""
        self._there.remove(child)
        how = child.end(time.monotonic() + END_S)
        if child.block is not None:
            waiting.lost(child.block, how, child.killed)

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
