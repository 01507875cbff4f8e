"""What the suite runs on: the hardware in one line, one thread, and its ceiling for products."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from core.engines.hardware import DTYPES, Precision

SHAPE = (2048, 576, 1536)  # tokens x width x width of the MLP of SmolLM2-135M
FLAGS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}  # what multiplies bf16 fast
Clock = Callable[[], float]


def one_thread() -> None:
    """One thread for everything that is loaded from here on, and for what is loaded already.

    Two threads wait for each other wherever another process runs; the product's own way to use
    more cores is more processes.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def flags() -> set[str]:
    """The processor's flags; none where they cannot be read."""
    return set(_cpuinfo("flags").split())


def hardware(device: str) -> str:
    """One line: processor or card, what it multiplies fast, threads and the version of torch."""
    import torch

    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    else:
        found = [shown for flag, shown in FLAGS.items() if flag in flags()]
        model = _cpuinfo("model name") or "unknown processor"
        name = f"{model}, {' + '.join(found) or 'no bf16 unit'}, {os.cpu_count()} cores"
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' * (threads != 1)}, torch {torch.__version__}"


def clock_of(device: str) -> Clock:
    """CPU seconds of this process, which others on the machine do not change; of a card, seconds.

    The card's queue is empty whenever its clock is read.
    """
    if not device.startswith("cuda"):
        return time.process_time

    def clock() -> float:
        import torch

        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def gemm(precision: Precision, clock: Clock, seconds: float = 0.3) -> float:
    """Measured GFLOP/s of a 2048 x 576 x 1536 product: the median of several windows."""
    import torch

    rows, inner, columns = SHAPE
    dtype = getattr(torch, DTYPES[precision.dtype])
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(size, generator=generator).to(precision.device, dtype)
        for size in ((rows, inner), (columns, inner))
    )
    out = torch.empty(rows, columns, device=precision.device, dtype=dtype)

    def window(count: int) -> float:
        began = clock()
        for _ in range(count):
            torch.mm(a, b.T, out=out)
        return max(clock() - began, 1e-9)

    window(3)
    count = max(1, round(3 * seconds / 5 / window(3)))
    took = statistics.median(window(count) for _ in range(5))
    return count * 2 * rows * inner * columns / took / 1e9


def peak_mib(work: Callable[[], object], device: str) -> float:
    """MiB that a call takes beyond what is held when it begins: of the card, or resident."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - held) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    held = _status_kib("VmRSS")
    work()
    return (_status_kib("VmHWM") - held) / 1024


def _status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text("utf8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def _cpuinfo(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
