"""Ctrl-C ends a command in time, whatever it computes.

Python hears of a signal between two of its own steps, and a step may be a minute of compiled
code. So a thread listens to the signal itself. What a command leaves when it is ended hard is
what a kill leaves: nothing half made that anybody must mend.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE_S = 2.0  # for a command to end by itself
CODE = 130


@contextmanager
def in_time(last_word: Callable[[], None]) -> Iterator[None]:
    """End this process `GRACE_S` after a signal to stop that comes in the body, if it is there yet.

    `last_word` is said before, unless the body has ended and only the end of Python, with the
    threads that it waits for, takes so long.
    """
    hears, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    over = threading.Event()
    threading.Thread(target=_watch, args=(hears, over, last_word), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(told)


def _watch(hears: int, over: threading.Event, last_word: Callable[[], None]) -> None:
    while heard := os.read(hears, 1):
        if heard[0] in (signal.SIGINT, signal.SIGTERM):
            time.sleep(GRACE_S)
            try:
                if not over.is_set():
                    last_word()
            finally:  # maybe nobody is left to hear it
                os._exit(CODE)
    os.close(hears)
