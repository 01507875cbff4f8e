"""Seconds from Ctrl-C to the end of a run, under each executor.

    python -m benchmarks.stopping [--rounds 3]

The fake engine is so slow that each block would take half a minute more. Tells as well whether a
process is left, and whether the run goes on from there to the scores of an undisturbed one. Ends
with 1 where the slowest took 3 s or more.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import click
import psutil

from benchmarks.nodes import METHOD, SPEC, cache, outcome, records, scores
from core import config, jobs, pools, runs

BOUND_S = 3.0
EXECUTORS = ("serial", "processes", *(["ray"] if find_spec("ray") else []))
BUSY = {"serial": "core.cli", "processes": "core.executors.worker", "ray": "ray::Actor.measure"}
SAMPLES = 120
SLOW = {"SFTLENS_FAKE_DELAY_S": "1"}  # a sample


def command(executor: str) -> list[str]:
    """The command that scores the pool, with two workers where there are some."""
    words = ["score", "pool", METHOD, "--model", "fake", "--device", "cpu", "--executor", executor]
    return [sys.executable, "-m", "core.cli", *words, "--workers", "2"]


def started(executor: str) -> "subprocess.Popen[bytes]":
    """A slow run that measures its first blocks."""
    process = subprocess.Popen(
        command(executor),
        env=os.environ | SLOW,
        cwd=config.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (any("stage" in job.facts for job in jobs.every()) and _busy(process.pid, executor)):
        if process.poll() is not None:
            raise click.ClickException(f"{executor}: ended with {process.returncode} by itself")
        time.sleep(0.05)
    time.sleep(2)  # until workers have read their libraries
    return process


def _busy(pid: int, executor: str) -> bool:
    """Whether somebody measures already, or is about to."""
    found = []
    for child in family(pid):
        try:
            found.append(" ".join(child.cmdline()))
        except psutil.Error:  # it ended meanwhile
            continue
    return any(BUSY[executor] in words for words in found)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started, and what those did."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    return [p for p in processes if _runs(p)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def stopped(executor: str) -> tuple[float, int, int]:
    """A slow run and Ctrl-C: seconds until it ended, its exit code, processes that it left."""
    process = started(executor)
    them = family(process.pid)
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    code = process.wait()
    seconds = time.perf_counter() - began
    psutil.wait_procs(them, timeout=5)
    return seconds, code, len(left(them))


@click.command(help=__doc__)
@click.option("--rounds", default=3, type=click.IntRange(1))
def main(rounds: int) -> None:
    """Print the figures; see the module."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        pool = records(Path(scratch) / "pool.json", SAMPLES)
        with cache(Path(scratch) / "calm"):
            right = outcome(pool).scores
        for executor in EXECUTORS:
            for number in range(rounds):
                with cache(Path(scratch) / f"{executor}-{number}"):
                    pools.import_files([pool], "pool")
                    seconds, code, n_left = stopped(executor)
                    same = scores(runs.execute(SPEC).run) == right
                said = f"exit code {code}, {n_left} processes left, same scores {same}"
                click.echo(f"{executor:10} {seconds:.2f} s, {said}")
                worst = max(worst, seconds)
    sys.exit(worst >= BOUND_S)


if __name__ == "__main__":
    main()
