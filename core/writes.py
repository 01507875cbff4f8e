"""The log of writes: who did what to what, when, and how it ended.

One JSON object a line in `writes.jsonl` beside the store, only ever added to. It outlives a store
that is made anew. Names and ids only: never a sample's text, a note, or a secret.
"""

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core import config

Outcome = Literal["done", "refused", "failed"]
MOST_CHARS = 200  # of a name: a line is one write to the file, so that two never mix


@dataclass(frozen=True)
class Write:
    """One line. `at` is UTC; `on` names the object; `detail` is a word or two on it."""

    at: str
    who: str
    act: str
    on: str
    outcome: Outcome
    detail: str = ""


def path() -> Path:
    """Where the log is."""
    return config.cache_dir() / "writes.jsonl"


@contextmanager
def opened() -> Iterator[int]:
    """The log, open for adding; before a write, so that none happens that cannot be logged.

    Raises:
        ConfigError: the cache cannot be written.
    """
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path(), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise config.unwritable(error) from error
    try:
        yield log
    finally:
        os.close(log)


def add(log: int, who: str, act: str, on: str, outcome: Outcome, detail: str = "") -> None:
    """Add a line to an open log.

    Raises:
        OSError: the disk refuses it.
    """
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    line = Write(stamp, who[:MOST_CHARS], act, on[:MOST_CHARS], outcome, detail[:MOST_CHARS])
    text = json.dumps(asdict(line)).encode("ascii") + b"\n"
    # a full disk has cut the last line: it stays a line of its own, and hides no other
    os.write(log, text if _is_whole(log) else b"\n" + text)


def _is_whole(log: int) -> bool:
    size = os.fstat(log).st_size
    return not size or os.pread(log, 1, size - 1) == b"\n"


def newest(n: int, who: str = "", act: str = "") -> list[Write]:
    """The last n writes, oldest first, of one person or of one kind where they are named.

    A line that a full disk cut short is passed over.
    """
    kept: deque[Write] = deque(maxlen=n)
    if path().is_file():
        with path().open(encoding="ascii", errors="replace") as lines:
            found = (write for line in lines if (write := _read(line)) is not None)
            kept.extend(w for w in found if who in ("", w.who) and act in ("", w.act))
    return list(kept)


def _read(line: str) -> Write | None:
    try:
        facts: Any = json.loads(line)
        return Write(**facts)
    except (ValueError, TypeError):
        return None
