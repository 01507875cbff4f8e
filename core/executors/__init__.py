"""Where blocks are measured. Every executor gives the same blocks to the same task.

What is measured depends on the blocks alone, so no executor changes a score: bit for bit where a
process has the same number of threads, within rounding where it has not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from core.blocks import Block, Task
from core.errors import RunError

Name = Literal["processes", "ray", "serial"]


class Executor(Protocol):
    """Maps a task over blocks and yields what it returns."""

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """Yield each block once it is measured, in any order."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """An executor that other machines have measured for before."""

    def bring(self, folder: Path) -> None:
        """Let those parts of a folder come that are not in it yet."""
        ...


def bring(executor: Executor, folder: Path) -> None:
    """Let parts come that an executor's machines have already, before it is planned what lacks."""
    if isinstance(executor, Sharing):
        executor.bring(folder)


class Serial:
    """One block after another, in this process, with all of its threads."""

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`."""
        return map(task, blocks)


@contextmanager
def opened(
    name: Name = "processes",
    workers: int | None = None,
    address: str | None = None,
    share: str | None = None,
) -> Iterator[Executor]:
    """An executor by its name; what it started ends with the body.

    `workers` None: as many as there is room for, and none where the work is not worth them.
    `address` of a Ray cluster; None: see `cluster.joined`. `share`: the URL by which its machines
    get files to each other, None where all see the cache under one path.

    Raises:
        RunError: there is no such cluster, Ray is not installed or not asked for, or the URL
            cannot be written.
    """
    for option, said in (("--ray-address", address), ("--ray-share", share)):
        if said and name != "ray":
            raise RunError(option, "is for Ray alone", do="Add --executor ray.")
    if name == "ray":
        from core.executors.ray_actors import Ray

        with Ray(address, workers, share) as spread:
            yield spread
        return
    from core.executors.processes import Processes

    if name == "serial" or workers == 1:
        yield Serial()
        return
    with Processes(workers) as executor:
        yield executor
