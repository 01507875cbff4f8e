"""A process that measures blocks: `python -m core.executors.worker NUMBER`, started by `Processes`.

Messages come in on standard input and go out on standard output, see `core.executors.wire`; what
libraries print goes to standard error. It ends when its input does, in the middle of a block too,
so no worker outlives its parent; a part that is being written is written to its end.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from queue import Queue
from typing import IO, Any

from core.executors import wire
from core.executors.lines import Teller
from core.executors.measurer import Measurer


class Worker:
    """What measures, and its two pipes."""

    def __init__(self, number: int, source: IO[bytes], out: IO[bytes]) -> None:
        self._source, self._out = source, out
        self._inbox: Queue[Mapping[str, Any]] = Queue()
        self._saying = threading.Lock()
        self._measurer = Measurer(number)

    def run(self) -> None:
        """Measure what comes in until nothing can come any more."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            message = self._inbox.get()
            try:
                self._measurer.measure(message)
                self.say({"done": True})
            except Exception as error:  # told to the parent, who ends this worker
                self.say(wire.told(error))

    def _listen(self) -> None:
        """Beside the measuring, so that the end of the parent is seen at once."""
        try:
            while (message := wire.receive(self._source)) is not None:
                self._inbox.put(message)
        except Exception:  # no memory for it, say: the block is for another worker
            traceback.print_exc()
            os._exit(1)
        with self._measurer.writing:
            os._exit(0)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; whoever logs may do so on any thread."""
        try:
            with self._saying:
                self._out.write(wire.packed(message))
                self._out.flush()
        except BrokenPipeError:  # nobody is left to hear it
            os._exit(0)


def main() -> None:
    """Take over the pipes and work until the parent has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    source, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    worker = Worker(int(sys.argv[1]), source, out)
    Teller(lambda line: worker.say({"log": line})).listen()
    worker.run()


if __name__ == "__main__":
    main()
