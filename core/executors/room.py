"""How many workers a machine has room for, and how this process measures as one of them would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.blocks import Task
from core.engines.loader import Loadable
from core.signals import Answers, Gradient

SHARE = 0.8  # of the free memory that workers may take
BESIDE_BYTES = 2 << 30  # of a worker beside its weights: libraries, activations
KEPT_BYTES = 2 << 30  # more where keys and values, or all activations, are kept for a while
KEEP = (Answers, Gradient)
GROUP = Path("/sys/fs/cgroup")  # limits of a container


def workers(task: Task, taken: int = 0) -> int:
    """Workers that can measure this at once: one a GPU, or one a core with memory.

    `taken`: bytes of the workers that are there already.
    """
    device = task.engine.precision.device
    if device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    if device != "cpu":  # one card, by its number
        return 1
    return max(1, min(cores(), int(SHARE * (free_bytes() + taken) / worker_bytes(task))))


def cores() -> int:
    """Cores that this process may use, a container's limit counted in."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    there = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _limit("cpu.max").partition(" ")
    return max(1, min(there, -(-int(quota) // int(period)))) if quota.isdigit() else there


def free_bytes() -> int:
    """Memory that can be taken without swapping, a container's limit counted in."""
    import psutil

    free = int(psutil.virtual_memory().available)
    most, used = _limit("memory.max"), _limit("memory.current")
    return min(free, int(most) - int(used)) if most.isdigit() and used.isdigit() else free


def _limit(name: str) -> str:
    try:
        return (GROUP / name).read_text("utf8").strip()
    except OSError:
        return ""


def worker_bytes(task: Task) -> int:
    """Memory of one worker at its height. Weights on disk are taken to be 16 bits wide."""
    folder, dtype = task.engine.checkpoint.folder, task.engine.precision.dtype
    on_disk = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    beside = BESIDE_BYTES + (KEPT_BYTES if isinstance(task.signal, KEEP) else 0)
    return on_disk * (2 if dtype == "fp32" else 1) + beside


@contextmanager
def one_thread(engine: Loadable) -> Iterator[None]:
    """Measure on one thread, as a worker does; on a GPU nothing changes."""
    if engine.precision.device != "cpu" or not engine.checkpoint.folder:
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
