"""A scoring process that writes down which samples it measures, to be killed in the middle.

    python -m benchmarks.suite.killing LOG

Scores the pool of the store in `SFTLENS_CACHE` with the fake engine, each sample taking as long as
`SFTLENS_FAKE_DELAY_S` says.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from core import blocks, runs, store
from core.domain import FloatN, RunSpec, Sample
from core.store import pools
from core.store import runs as stored

POOL = "killed"
DELAY_S = 0.004  # of a sample
LIMIT_S = 120.0  # for the process to get as far as it should


@dataclass(frozen=True)
class Killed:
    """What became of a run that was killed and started again.

    `twice`: blocks with a sample that was measured more than once. `parts`: of the killed
    process. `value` (n,): the scores in the end.
    """

    twice: int
    parts: int
    value: FloatN


def spec() -> RunSpec:
    """The run: one signal, measured for each sample."""
    return RunSpec(POOL, "perplexity", model="fake")


def import_pool(cache: Path, samples: Sequence[Sample]) -> None:
    """A store of its own with these samples."""
    import pyarrow.parquet as pq

    cache.mkdir(parents=True)
    spool = cache / "spool.parquet"
    pq.write_table(pools.arrow_batch(samples, 0), spool)
    with store.connect(write=True, path=cache / "sftlens.duckdb") as con:
        pools.add_pool(con, POOL, "pool", spool)


def scored(cache: Path, samples: Sequence[Sample]) -> FloatN:
    """The scores (n,) of a run that nobody disturbs."""
    import_pool(cache, samples)
    if _started(cache, cache / "measured.txt").wait() != 0:
        raise RuntimeError("the run failed")
    return _value(cache)


def kill_and_resume(cache: Path, after: int) -> Killed:
    """Start scoring, kill -9 in the block after the first `after`, and score again to the end."""
    log = cache / "measured.txt"
    process = _started(cache, log)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not _within(cache, log, after) and process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {after} blocks in {LIMIT_S:.0f} s")
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = _parts(cache)
    again = _started(cache, log)
    if again.wait() != 0:
        raise RuntimeError("the second run failed")
    counts = Counter(log.read_text("utf8").split())
    blocks = [np.load(part)["ids"].tolist() for part in _parts(cache)]
    twice = sum(any(counts[name.decode()] > 1 for name in ids) for ids in blocks)
    return Killed(twice, len(before), _value(cache))


def _started(cache: Path, log: Path) -> subprocess.Popen[bytes]:
    own = {"SFTLENS_CACHE": str(cache), "SFTLENS_FAKE_DELAY_S": str(DELAY_S)}
    command = [sys.executable, "-m", "benchmarks.suite.killing", str(log)]
    return subprocess.Popen(command, env=os.environ | own)


def _within(cache: Path, log: Path, after: int) -> bool:
    """Whether so many blocks are on disk and the next one is being measured."""
    held = _parts(cache)
    if len(held) < after or not log.is_file():
        return False
    return len(log.read_text("utf8").split()) > sum(len(np.load(part)["ids"]) for part in held)


def _parts(cache: Path) -> list[Path]:
    return sorted(cache.glob("blocks/*/part-*.npz"))


def _value(cache: Path) -> FloatN:
    with store.connect(path=cache / "sftlens.duckdb") as con:
        run = stored.newest_run(con, POOL, spec().method)
        return stored.run_value(con, run.run_id)


@click.command(help=__doc__)
@click.argument("log", type=click.Path(path_type=Path))
def main(log: Path) -> None:
    """Score and write down what is measured; see the module."""
    measured = blocks.Task.measured

    def noted(self: blocks.Task, block: blocks.Block) -> blocks.Parts:
        with log.open("a", encoding="utf8") as out:
            out.writelines(f"{sample_id}\n" for sample_id in block.ids)
        return measured(self, block)

    blocks.Task.measured = noted  # type: ignore[method-assign]
    runs.execute(spec())


if __name__ == "__main__":
    main()
