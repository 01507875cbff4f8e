"""The command line as a person calls it, and small files for it to read."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from core import config

PATIENCE_S = 240.0  # far more than anything takes, so that a busy machine fails no test
METHOD = "differential_entropy"
FAKE = ("--model", "fake", "--device", "cpu")


def sftlens(*words: object, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run `sftlens WORDS` in a process of its own, on this test's cache, without a terminal."""
    return subprocess.run(
        _command(words),
        env=os.environ | env,
        cwd=config.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf8",
        timeout=3 * PATIENCE_S,
        check=False,
    )


def start(*words: object, **env: str) -> "subprocess.Popen[str]":
    """Start `sftlens WORDS` and return at once."""
    return python(*_command(words)[1:], **env)


def python(*words: str, **env: str) -> "subprocess.Popen[str]":
    """Start this Python with these arguments."""
    return subprocess.Popen(
        [sys.executable, *words],
        env=os.environ | env,
        cwd=config.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf8",
    )


def _command(words: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "core.cli", *map(str, words)]


def wait_until(true: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> None:
    """Look every few milliseconds until `true()`; fail when the process ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if process is not None and process.poll() is not None and not true():
            raise AssertionError(f"ended too early: {process.communicate()}")
        if time.monotonic() > deadline:
            raise AssertionError("it never came true")
        time.sleep(0.005)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process, once it has ended."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def kill(process: "subprocess.Popen[str]") -> None:
    """kill -9, and wait until it is gone."""
    process.kill()
    process.communicate(timeout=PATIENCE_S)


def parts() -> dict[Path, int]:
    """Measured parts of this test's cache, each with its time of writing."""
    found = (config.cache_dir() / "blocks").glob("*/part-*.npz")
    return {path: path.stat().st_mtime_ns for path in found}


def rows(n: int, start: int = 0) -> list[dict[str, str]]:
    """`n` alpaca records of different lengths and three sources; record k is always the same."""
    return [
        {
            "instruction": f"Count to {k} in steps of {k % 7 + 1}",
            "input": f"begin at {k % 5}" if k % 3 == 0 else "",
            "output": " ".join(str(j) for j in range(k % 11 + 2)) + f" and {k}",
            "source": ("sums", "steps", "counts")[k % 3],
        }
        for k in range(start, start + n)
    ]


def jsonl(path: Path, records: Iterable[object]) -> Path:
    """Write one JSON record a line; a text stands as it is."""
    lines = (r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf8")
    return path
