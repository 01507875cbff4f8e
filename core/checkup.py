"""The faults that people most likely have, each looked for in a moment and named with what to do.

cache      cannot be written               packages  one is missing, or of another version
disk       is nearly full                  torch     a GPU that torch cannot use
store      damaged, or of a newer SFTLens  memory    too little for the model
lock       another process has the store   threads   more than there are cores
model      damaged weights                 port      taken by another program
runs       killed while they ran           clock     was set back
"""

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from core import config, jobs
from core.errors import SFTLensError
from core.executors import room
from core.store.faults import REBUILD
from core.store.look import look

DRIVER = Path("/proc/driver/nvidia/version")  # there where an NVIDIA driver is loaded
LOW_DISK = 2 << 30  # bytes: an embedded model, and some measurements
LOW_MEMORY = room.BESIDE_BYTES + (300 << 20)  # bytes: a worker with the embedded model
AHEAD_S = 120.0  # a file this much newer than now was written under another clock
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PORT = 8501
HEADER = 8  # bytes: a safetensors file begins with the length of its table


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what to do about it."""

    name: str
    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}. {self.do}"


def faults() -> Iterator[Fault]:
    """Every fault that is found; none is looked for behind one that hides it."""
    unwritable = list(_cache())
    yield from unwritable
    for look_for in CHECKS if not unwritable else (_packages, _torch, _memory, _threads, _port):
        yield from look_for()


def _cache() -> Iterator[Fault]:
    try:
        config.check_writable()
    except SFTLensError as error:
        yield Fault("cache", f"{error.where}: {error.what}", error.do)


def _disk() -> Iterator[Fault]:
    free = shutil.disk_usage(config.cache_dir()).free
    if free < LOW_DISK:
        do = "Free some space, or set SFTLENS_CACHE to a folder on a larger disk."
        yield Fault("disk", f"{free / 2**30:.1f} GB are free where the cache is", do)


def _store() -> Iterator[Fault]:
    path = config.store_path()
    found = look(path)
    if found.state == "damaged":
        yield Fault("store", f"{path} is damaged, or no store", REBUILD)
    if found.state == "newer":
        do = "Update SFTLens, or set SFTLENS_CACHE to another folder."
        yield Fault("store", f"{path} was written by a newer SFTLens", do)
    if found.state == "busy":
        who = f"process {found.holder}" if found.holder else "another process"
        do = "Wait for it: a scorer holds the store for seconds. Else end that process."
        yield Fault("lock", f"{path} is held by {who}", do)


def _model() -> Iterator[Fault]:
    for weights in sorted((config.cache_dir() / "models").glob("*/*.safetensors")):
        if not _is_whole(weights):
            do = f"Delete the folder; it is made anew: {weights.parent}"
            yield Fault("model", f"{weights.name} of a model in the cache is damaged", do)
    for card in sorted((config.cache_dir() / "models").glob("*/checkpoint.json")):
        if not any(card.parent.glob("*.safetensors")):
            do = f"Delete the folder; it is made anew: {card.parent}"
            yield Fault("model", "a model in the cache has no weights", do)


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its own table says."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER), "little")
        table = file.read(length) if length < 100_000_000 else b""
    ends = [int(end) for end in re.findall(rb'"data_offsets":\s*\[\d+,\s*(\d+)\]', table)]
    return bool(ends) and path.stat().st_size == HEADER + length + max(ends)


def _runs() -> Iterator[Fault]:
    for job in jobs.every():
        if job.facts.get("state") == "running" and job.state == "stopped":
            spec = job.facts.get("spec", {})
            what = f"scoring {spec.get('pool')} by {spec.get('method')} was killed on the way"
            yield Fault("runs", what, "Start it again; it goes on where it was.")


def _clock() -> Iterator[Fault]:
    seen = [config.store_path(), *(config.cache_dir() / "runs").glob("*/status.json")]
    newest = max((path.stat().st_mtime for path in seen if path.is_file()), default=0.0)
    if newest - time.time() > AHEAD_S:
        ahead = (newest - time.time()) / 60
        do = "Set the clock right (e.g. by NTP); times in lists are wrong until then."
        yield Fault("clock", f"a file of the cache is {ahead:,.0f} min newer than now", do)


def _packages() -> Iterator[Fault]:
    from packaging.requirements import Requirement

    try:
        wanted = metadata.requires("sftlens") or []
    except metadata.PackageNotFoundError:  # run from its folder, not installed
        return
    for need in (Requirement(text) for text in wanted):
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            there = ""
        if not there or not need.specifier.contains(there, prereleases=True):
            what = f"{need.name} {there} does not do, {need} is needed" if there else None
            do = f'Install it: pip install "{need}".'
            yield Fault("packages", what or f"{need.name} is not installed", do)


def _torch() -> Iterator[Fault]:
    if not DRIVER.is_file():
        return
    import torch

    if torch.version.cuda is None:
        do = "Install a torch with CUDA: see the table on pytorch's page for your driver."
        yield Fault("torch", "there is a GPU, and this torch was built without CUDA", do)
    elif not torch.cuda.is_available():
        do = "Update the driver, or install a torch for an older CUDA."
        what = f"the GPU's driver does not do for this torch (CUDA {torch.version.cuda})"
        yield Fault("torch", what, do)


def _memory() -> Iterator[Fault]:
    free = room.free_bytes()
    if free < LOW_MEMORY:
        what = f"{free / 2**30:.1f} GB of memory are free; a model takes {LOW_MEMORY / 2**30:.1f}"
        yield Fault("memory", what, "Close other programs, or give the container more.")


def _threads() -> Iterator[Fault]:
    for name in THREADS:
        text = os.environ.get(name, "").strip()
        if text and not (text.isdigit() and 1 <= int(text) <= room.cores()):
            what = f"{name} is {text[:20]}, with {room.cores()} cores"
            yield Fault(
                "threads", what, f"Unset it, or set {name}=1: workers have one thread each."
            )


def _port() -> Iterator[Fault]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            do = "If it is an app you forgot, end it; `sftlens app` takes the next port."
            yield Fault("port", f"port {PORT} is taken by another program", do)


CHECKS: tuple[Callable[[], Iterator[Fault]], ...] = (
    _disk, _store, _model, _runs, _clock, _packages, _torch, _memory, _threads, _port,
)  # fmt: skip
