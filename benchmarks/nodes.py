"""A Ray cluster of three nodes on this machine, one of which is killed half-way.

    python -m benchmarks.nodes [--samples 1200] [--delay 0.02]

The fake engine takes `--delay` seconds a sample, so what is told is what the loss of a node costs,
and not what a model does. Prints seconds undisturbed and with the kill, how many blocks were done,
how often an id is there twice, and whether the scores are those of one process, bit for bit.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from core import config, pools, runs, store
from core.blocks import Block, Task
from core.domain import RunSpec
from core.executors import Executor
from core.executors.ray_actors import Ray
from core.files import write_json
from core.store import runs as stored

METHOD = "differential_entropy"
SPEC = RunSpec("pool", METHOD, model="fake", device="cpu")
NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
# read when ray is imported: loopback only, and no word to anybody
CLOSED = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class Nodes:
    """A cluster of three nodes with one core each; the actors on it inherit this environment."""

    def __init__(self) -> None:
        os.environ.update(CLOSED)
        from ray._private import ray_constants
        from ray.cluster_utils import Cluster

        ray_constants.ENABLE_RAY_CLUSTER = False  # where it was imported before
        self._cluster = Cluster(True, head_node_args=NODE | {"include_dashboard": False})
        for _ in range(2):
            self.add()
        self.address = self._cluster.address

    def add(self) -> None:
        """Add a node."""
        self._cluster.add_node(**NODE)

    def kill(self) -> None:
        """kill -9 a node with all that runs on it, one that is not this process's own."""
        import psutil
        from ray._private.worker import global_worker

        mine = global_worker.node.raylet_socket_name
        node = next(n for n in self._cluster.worker_nodes if n.raylet_socket_name != mine)
        for _, process in node.live_processes():
            them = psutil.Process(process.pid)
            for each in (*them.children(recursive=True), them):
                each.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


@dataclass
class Disturbed:
    """An executor that loses a node when half of the blocks of a stage are done."""

    executor: Executor
    nodes: Nodes
    blocks: int = 0
    killed: bool = False

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`."""
        for done, block in enumerate(self.executor.map(task, blocks), start=1):
            self.blocks += 1
            if not self.killed and 2 * done >= len(blocks):
                self.killed = True
                self.nodes.kill()
            yield block


@dataclass(frozen=True)
class Outcome:
    """What a run left: seconds, parts on disk, ids that are there twice, scores."""

    seconds: float
    parts: int
    twice: int
    scores: dict[str, str]


def outcome(records: Path, executor: Executor | None = None) -> Outcome:
    """Import the records into the present cache, which is empty, and score them."""
    pools.import_files([records], "pool")
    began = time.perf_counter()
    run = runs.execute(SPEC, None, executor).run
    seconds = time.perf_counter() - began
    parts, twice = 0, 0
    for folder in config.folder("blocks").iterdir():
        paths = sorted(folder.glob("part-*.npz"))
        ids = np.concatenate([np.load(path)["ids"] for path in paths])
        parts, twice = parts + len(paths), twice + len(ids) - len(set(ids.tolist()))
    return Outcome(seconds, parts, twice, scores(run))


def scores(run: stored.Run) -> dict[str, str]:
    """Every stored number of a run, to its last bit."""
    with store.connect() as con:
        return {k: repr(v.tolist()) for k, v in stored.run_columns(con, run.run_id).items()}


@contextmanager
def cache(folder: Path) -> Iterator[None]:
    """Work in a cache of its own."""
    before = os.environ.get("SFTLENS_CACHE")
    os.environ["SFTLENS_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("SFTLENS_CACHE")
        if before is not None:
            os.environ["SFTLENS_CACHE"] = before


def records(path: Path, n: int) -> Path:
    """Write n invented records of different lengths."""
    write_json(
        path,
        [
            {"instruction": f"Count to {k}", "output": " ".join(str(j) for j in range(k % 17 + 2))}
            for k in range(n)
        ],
    )
    return path


@click.command(help=__doc__)
@click.option("--samples", default=1200, type=click.IntRange(100))
@click.option("--delay", default=0.02, type=click.FloatRange(0))
def main(samples: int, delay: float) -> None:
    """Print the figures; see the module."""
    with tempfile.TemporaryDirectory() as scratch:
        _tell(Path(scratch), samples, delay)


def _tell(scratch: Path, samples: int, delay: float) -> None:
    pool = records(scratch / "pool.json", samples)
    with cache(scratch / "serial"):
        right = outcome(pool)
    os.environ["SFTLENS_FAKE_DELAY_S"] = str(delay)  # of the nodes
    nodes = Nodes()
    try:
        with cache(scratch / "calm"), Ray(nodes.address) as executor:
            calm = outcome(pool, executor)
        with cache(scratch / "killed"), Ray(nodes.address) as executor:
            hit = outcome(pool, Disturbed(executor, nodes))
    finally:
        nodes.close()
    over = hit.seconds / calm.seconds - 1
    click.echo(f"three nodes:     {calm.seconds:.1f} s, {calm.parts} blocks of {right.parts}")
    click.echo(f"one of them killed: {hit.seconds:.1f} s ({over:+.0%}), {hit.parts} blocks")
    click.echo(f"ids twice: {calm.twice} and {hit.twice}")
    same = [found.scores == right.scores for found in (calm, hit)]
    click.echo(f"scores as in one process: {same[0]}, {same[1]}")


if __name__ == "__main__":
    main()
