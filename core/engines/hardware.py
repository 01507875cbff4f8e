"""Which device and number format to use, from what the machine can do fast."""

from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import ConfigError

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Precision:
    """Where and in which number format a model runs; part of every cache key."""

    device: str  # "cpu", "cuda", "cuda:1"
    dtype: str  # "fp32" or "bf16"

    @property
    def key(self) -> str:
        """`cpu-bf16`: the kind of device and the format, not the card's index."""
        return f"{self.device.split(':')[0]}-{self.dtype}"

    def of(self, steady: bool) -> "Precision":
        """What a signal of a run is measured in: on a processor, float32 where it is `steady`."""
        return replace(self, dtype="fp32") if steady and self.device == "cpu" else self


def choose(device: str = "auto", dtype: str = "auto") -> Precision:
    """Settle "auto": cuda before cpu; bf16 only where the hardware multiplies it fast.

    Raises:
        ConfigError: the device is not there, or the dtype is none of auto, fp32, bf16.
    """
    if dtype not in ("auto", *DTYPES):
        raise ConfigError(
            "--dtype", "is not a number format I know", got=dtype, do="Use auto, fp32 or bf16."
        )
    if device != "cpu" and not device.startswith(("auto", "cuda")):
        raise ConfigError(
            "--device", "is not a device I know", got=device, do="Use auto, cpu, cuda or cuda:N."
        )
    if device != "cpu":
        import torch

        there = torch.cuda.is_available()
        if device.startswith("cuda") and not there:
            do = "Use --device cpu, or install a CUDA build of torch."
            raise ConfigError("--device", "no CUDA device can be used here", got=device, do=do)
        if device == "auto":
            device = "cuda" if there else "cpu"
    if dtype == "auto":
        dtype = "bf16" if fast_bf16(device) else "fp32"
    return Precision(device, dtype)


def fast_bf16(device: str) -> bool:
    """Whether bf16 products are done by the hardware: Ampere or newer, AMX, or AVX512-BF16.

    Flags are asked instead of a clock: the answer is part of a run's key and must not change
    from one call to the next.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_capability(device)[0] >= 8
    try:
        flags = Path("/proc/cpuinfo").read_text("utf8").split("\n\n")[0].split()
    except OSError:
        return False
    return bool({"amx_bf16", "avx512_bf16"} & set(flags))


def gemm_gflops(precision: Precision, seconds: float = 0.3) -> float:
    """Measured GFLOP/s of a 2048 x 576 x 1536 product, for `sftlens doctor`."""
    import time

    import torch

    dtype = getattr(torch, DTYPES[precision.dtype])
    a = torch.randn(2048, 576, device=precision.device, dtype=dtype)
    b = torch.randn(576, 1536, device=precision.device, dtype=dtype)
    sync = torch.cuda.synchronize if precision.device.startswith("cuda") else lambda: None
    for _ in range(3):
        a @ b
    sync()
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        a @ b
        sync()
        done += 1
    return done * 2 * 2048 * 576 * 1536 / spent / 1e9
