"""Progress for people: a bar in the terminal and a status file for the app.

One `Progress` goes through a whole run; each long step is a stage with a total, a unit, a
rate and the time left.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import files, logs

WRITE_EVERY_S = 0.5
PRINT_EVERY_S = 15.0  # without a terminal, e.g. in a log file


@dataclass
class Progress:
    """Counts work and tells the terminal and the status file.

    `facts` are written into every status: pool, method, log. `path` None keeps it silent on
    disk, `quiet` keeps it silent on the terminal.
    """

    path: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    quiet: bool = False
    _written: float = 0.0
    _printed: float = 0.0

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator["Stage"]:
        """Open a stage; the bar closes with it."""
        stage = Stage(self, name, total, unit)
        with stage.shown(self.quiet):
            self.tell(stage, force=True)
            yield stage
            self.tell(stage, force=True)

    def say(self, message: str) -> None:
        """One line for the person: to the terminal and into the status file, without secrets."""
        message = logs.without_secrets(message)
        self.facts["message"] = message
        if not self.quiet:
            print(message, file=sys.stderr, flush=True)  # noqa: T201

    def state(self, state: str, **facts: Any) -> None:
        """Write the run's state: running, done, failed, stopped."""
        if "message" in facts:
            facts["message"] = logs.without_secrets(str(facts["message"]))
        self.facts |= facts
        self._write({"state": state})

    def tell(self, stage: "Stage", *, force: bool = False) -> None:
        """Write the stage into the status file, at most twice a second."""
        now = time.monotonic()
        if force or now - self._written >= WRITE_EVERY_S:
            self._written = now
            self._write({"state": "running", **stage.snapshot()})
        if not self.quiet and not sys.stderr.isatty() and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            print(stage.sentence(), file=sys.stderr, flush=True)  # noqa: T201

    def _write(self, status: dict[str, Any]) -> None:
        if self.path is not None:
            common = {"pid": os.getpid(), "at": time.time()}
            files.write_json(self.path, self.facts | common | status)


@dataclass
class Stage:
    """One long step: how much is done of how much, how fast, and how long it will take.

    A total of 0 means that nobody knows it yet.
    """

    progress: Progress
    name: str
    total: int
    unit: str
    done: int = 0
    _started: float = field(default_factory=time.monotonic)
    _before: int = 0
    _bar: Any = None

    def advance(self, amount: int = 1) -> None:
        """Count `amount` units as done."""
        self.done += amount
        if self._bar is not None:
            self._bar[0].update(self._bar[1], completed=self.done, rate=self._rate_text())
        self.progress.tell(self)

    def resume(self, amount: int) -> None:
        """Count work that an earlier call did; it does not enter the rate."""
        self._before = amount
        self.advance(amount)

    def rate(self) -> float:
        """Units a second since the stage began."""
        return (self.done - self._before) / max(time.monotonic() - self._started, 1e-3)

    def left_s(self) -> float | None:
        """Seconds left at the present rate; None before anything is done."""
        if not self.total or self.rate() <= 0:
            return None
        return max(self.total - self.done, 0) / self.rate()

    def snapshot(self) -> dict[str, Any]:
        """The stage as plain values for the status file."""
        return {
            "stage": self.name,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "rate": round(self.rate(), 1),
            "left_s": None if self.left_s() is None else round(self.left_s() or 0.0, 1),
        }

    def sentence(self) -> str:
        """`measuring base: 1,024 of 4,096 tokens (25 %), 612 tokens/s, 5 s left`."""
        if not self.total:
            return f"{self.name}: {self.done:,} {self.unit}, {self._rate_text()}"
        share = 100 * self.done / self.total
        left = self.left_s()
        tail = "" if left is None else f", {duration(left)} left"
        count = f"{self.done:,} of {self.total:,} {self.unit} ({share:.0f} %)"
        return f"{self.name}: {count}, {self._rate_text()}{tail}"

    def _rate_text(self) -> str:
        digits = 0 if self.rate() >= 10 else 1
        return f"{self.rate():,.{digits}f} {self.unit}/s"

    @contextmanager
    def shown(self, quiet: bool) -> Iterator[None]:
        """Draw a bar for the duration of the stage when a person is at a terminal."""
        if quiet or not sys.stderr.isatty():
            yield
            return
        from rich import progress as rp
        from rich.console import Console

        columns = (
            rp.TextColumn("{task.description}"),
            rp.BarColumn(),
            rp.MofNCompleteColumn(),
            rp.TextColumn("{task.fields[rate]}"),
            rp.TimeRemainingColumn(),
        )
        with rp.Progress(*columns, console=Console(stderr=True)) as bar:
            self._bar = (bar, bar.add_task(self.name, total=self.total or None, rate=""))
            yield
            self._bar = None


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8 s, 3 min, 2 h 5 min."""
    seconds = max(seconds, 0.0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
