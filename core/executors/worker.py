"""A process that measures blocks: `python -m core.executors.worker NUMBER`, started by `Processes`.

Messages come in on standard input and go out on standard output, see `core.executors.wire`; what
libraries print goes to standard error. It ends when its input does, in the middle of a block too,
so no worker outlives its parent; a part that is being written is written to its end.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from queue import Queue
from typing import IO, Any

from core import blocks
from core.engines import loader
from core.engines.loader import Loadable
from core.executors import wire


class Worker:
    """The engine it has loaded, and its two pipes."""

    def __init__(self, number: int, source: IO[bytes], out: IO[bytes]) -> None:
        self.number, self._source, self._out = number, source, out
        self._inbox: Queue[Mapping[str, Any]] = Queue()
        self._saying, self._writing = threading.Lock(), threading.Lock()
        self._engine: Loadable | None = None

    def run(self) -> None:
        """Measure what comes in until nothing can come any more."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            message = self._inbox.get()
            try:
                self._measure(message)
                self.say({"done": True})
            except Exception as error:  # told to the parent, who ends this worker
                self.say(wire.told(error))

    def _listen(self) -> None:
        """Beside the measuring, so that the end of the parent is seen at once."""
        while (message := wire.receive(self._source)) is not None:
            self._inbox.put(message)
        with self._writing:
            os._exit(0)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; whoever logs may do so on any thread."""
        try:
            with self._saying:
                self._out.write(wire.packed(message))
                self._out.flush()
        except BrokenPipeError:  # nobody is left to hear it
            os._exit(0)

    def _measure(self, message: Mapping[str, Any]) -> None:
        task, block = wire.task_of(message, self._loaded(message))
        arrays = task.measured(block)
        with self._writing:
            blocks.write_part(task.folder, block.ids, arrays)

    def _loaded(self, message: Mapping[str, Any]) -> Loadable:
        """The engine of a checkpoint; the last one is kept."""
        checkpoint, precision = wire.made(message["checkpoint"]), wire.made(message["precision"])
        if precision.device == "cuda":  # any card will do, and each worker has its own
            precision = replace(precision, device=f"cuda:{self.number}")
        kept = self._engine
        if kept is None or (kept.checkpoint, kept.precision) != (checkpoint, precision):
            self._engine = None  # so that two models are never there at once
            self._engine = kept = loader.load(checkpoint, precision)
        return kept


class Teller(logging.Handler):
    """Gives log lines to the parent, whose log it is."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(logging.WARNING)
        self.worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        self.worker.say({"log": [record.name, record.levelno, self.format(record)]})


def main() -> None:
    """Take over the pipes and work until the parent has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    source, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    worker = Worker(int(sys.argv[1]), source, out)
    logging.basicConfig(handlers=[Teller(worker)], format="%(message)s", level=logging.WARNING)
    logging.captureWarnings(True)
    worker.run()


if __name__ == "__main__":
    main()
