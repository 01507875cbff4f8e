"""B9: two processes of one thread against one, on the same blocks of the same samples."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.suite.bench import Bench, Row
from core.blocks import Block, Task, gather, plan
from core.domain import Sample
from core.engines.hf import HFEngine
from core.executors import Executor, Serial
from core.executors.processes import Processes
from core.signals import TokenStats

WORKERS = 2
BLOCK_TOKENS = 1024  # half of the product's: more to hand over, and sooner done


def b9(bench: Bench) -> Iterator[Row]:
    """Throughput of token_stats; both sides have read their libraries and the model before."""
    if bench.device.startswith("cuda") and not _cards():
        return
    with tempfile.TemporaryDirectory() as made, Processes(WORKERS) as processes:
        engine = bench.engine(bench.counts)
        by_id = {s.sample_id: s for s in bench.samples(200)}
        blocks = _even(list(by_id), engine, [*by_id.values()], bench.size(4, 12))
        folders = Path(made) / "one", Path(made) / "two"

        def on(executor: Executor, folder: Path) -> Callable[[], list[Block]]:
            fetch = lambda ids: [by_id[i] for i in ids]  # noqa: E731
            task = Task(TokenStats(), engine, fetch, folder, 4096)
            return lambda: list(executor.map(task, blocks))

        one, two = on(Serial(), folders[0]), on(processes, folders[1])
        race = bench.race(two, one, bench.size(2, 3), dtype=bench.counts, wall=True)
        gate = _same(*folders, [i for block in blocks for i in block.ids])
    tokens = sum(block.work for block in blocks)
    note = f"{tokens / race.theirs_s:,.0f} tokens/s by one, {tokens / race.ours_s:,.0f} by two"
    what = "two processes of one thread against one"
    yield bench.row("b9", what, race.ratio, 1.9, gate, fraction=race.ratio / WORKERS, note=note)


def _even(
    ids: Sequence[str], engine: HFEngine, samples: Sequence[Sample], most: int
) -> list[Block]:
    """Full blocks from the middle of a plan, as many for each worker: throughput has no tail."""
    planned = plan(ids, engine.lengths(samples, "chat"), BLOCK_TOKENS)[:-1]
    count = min(most, len(planned) // WORKERS * WORKERS)
    start = (len(planned) - count) // 2
    return planned[start : start + count]


def _same(one: Path, two: Path, ids: Sequence[str]) -> bool:
    """Whether both measured the same numbers, to the bit."""
    right, ours = gather(one, ids), gather(two, ids)
    return all(np.array_equal(right[name], ours[name], equal_nan=True) for name in right)


def _cards() -> bool:
    import torch

    return torch.cuda.device_count() >= WORKERS
