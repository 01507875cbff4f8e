"""The parent's side of a worker: start it, give it a block, hear it, end it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from queue import Queue
from typing import Any

from core import config
from core.blocks import Block
from core.executors import wire

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
KILLED = -9  # how `subprocess` tells of SIGKILL, on any system
Heard = Queue[tuple["Child", Mapping[str, Any] | None]]


class Child:
    """A worker process, and the block that it measures.

    What it says is put into `heard`; None when it has gone, however it went. `killed`: it was
    ended from outside without a word, which the system does to who takes the last memory.
    """

    def __init__(self, number: int, device: str, heard: Heard) -> None:
        self.number = number
        self.block: Block | None = None
        self.killed = False
        own = {"SFTLENS_CACHE": str(config.cache_dir()), "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.executors.worker", str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=config.ROOT,
            env=os.environ | own | (ONE_THREAD if device == "cpu" else {}),
            start_new_session=True,  # Ctrl-C at the terminal is the parent's alone
        )
        assert self._process.stdin is not None, "opened as a pipe"
        assert self._process.stdout is not None, "opened as a pipe"
        self._mouth, self._ear = self._process.stdin, self._process.stdout
        self._listening = threading.Thread(target=self._listen, args=(heard,), daemon=True)
        self._listening.start()

    def _listen(self, heard: Heard) -> None:
        with suppress(Exception):  # what is no message is an end as well, or nobody hears of it
            while (message := wire.receive(self._ear)) is not None:
                heard.put((self, message))
        heard.put((self, None))

    def give(self, block: Block, message: bytes) -> None:
        """Hand a block over. One that has died in the meantime is heard of in a moment."""
        self.block = block
        with suppress(BrokenPipeError):
            self._mouth.write(message)
            self._mouth.flush()

    def memory(self) -> int:
        """Bytes that it holds; 0 where it has died."""
        import psutil

        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def dismiss(self) -> None:
        """Let it end by itself, at once."""
        with suppress(OSError):
            self._mouth.close()

    def end(self, deadline: float) -> str:
        """Wait for it until then (`time.monotonic`), not longer; how it ended, in words."""
        self.dismiss()
        try:
            code = self._process.wait(max(0.0, deadline - time.monotonic()))
            self.killed = code == KILLED
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listening.join()
        self._ear.close()
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"
