"""Log lines on their way from a worker to the parent, whose log it is."""

import logging
from collections.abc import Callable
from typing import Any


class Teller(logging.Handler):
    """A worker's end: gives each line on as plain values."""

    def __init__(self, tell: Callable[[list[Any]], object]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Give one line on."""
        self._tell([record.name, record.levelno, self.format(record)])

    def listen(self) -> None:
        """Become the only one who hears what this process logs and warns of."""
        logging.basicConfig(
            handlers=[self], format="%(message)s", level=logging.WARNING, force=True
        )
        logging.captureWarnings(True)


class Repeater:
    """The parent's end: a worker's line as its own; what all of them say is said once."""

    def __init__(self) -> None:
        self._said: set[tuple[str, int, str]] = set()

    def __call__(self, name: str, level: int, text: str) -> None:
        """Log one line."""
        if (name, level, text) not in self._said:
            self._said.add((name, level, text))
            logging.getLogger(name).log(level, "%s", text)
