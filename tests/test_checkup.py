"""Each fault that `sftlens doctor` looks for, planted, seen and named."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from calls import ended, python
from safetensors.numpy import save_file

from core import checkup, config, doctor, files, jobs, store
from core.checkup import Fault
from core.executors import room

HOLD = """import duckdb, sys, time
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(600)"""


@pytest.fixture(autouse=True)
def _sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a fault, whatever the one is that runs the test."""
    for name in checkup.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(checkup, "DRIVER", tmp_path / "no driver")
    monkeypatch.setattr(checkup, "PORT", free_port())
    monkeypatch.setattr(room, "free_bytes", lambda: 64 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 << 30))
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=1", "torch; extra == 'none'"])
    with store.connect(write=True):
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def found() -> Fault:
    """The one fault that is there; it says what to do."""
    [fault] = checkup.faults()
    assert fault.do.endswith((".", str(config.cache_dir() / "models" / "broken")))
    assert "\n" not in str(fault)
    return fault


def weights() -> Path:
    folder = config.folder("models") / "broken"
    folder.mkdir()
    files.write_json(folder / "checkpoint.json", {"name": "broken"})
    save_file({"a": np.ones((64, 64), np.float32)}, folder / "model.safetensors")
    return folder / "model.safetensors"


def test_a_sound_machine_has_no_fault() -> None:
    weights()
    assert list(checkup.faults()) == []


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "file" / "cache"))
    assert found().name == "cache"


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 29))
    assert found().name == "disk"
    assert "0.5 GB are free" in found().what


def test_a_damaged_store() -> None:
    with config.store_path().open("r+b") as file:
        file.write(b"\0" * 8192)
    assert (found().name, "damaged" in found().what) == ("store", True)
    assert "sftlens rebuild" in found().do


def test_a_store_of_a_newer_version() -> None:
    with store.connect(write=True) as con:
        con.execute("INSERT INTO migrations VALUES (999, 'later', now())")
    assert (found().name, "newer" in found().what) == ("store", True)


@pytest.fixture
def holder() -> Iterator[int]:
    process = python("-c", HOLD, str(config.store_path()))
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.kill()
    ended(process)


def test_a_store_that_another_process_holds_with_its_number(holder: int) -> None:
    assert (found().name, f"process {holder}" in found().what) == ("lock", True)


def test_weights_that_were_cut_short() -> None:
    path = weights()
    path.write_bytes(path.read_bytes()[:-100])
    assert (found().name, "damaged" in found().what) == ("model", True)


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"\x02\0\0\0\0\0\0\0{}"])
def test_weights_that_are_none(content: bytes) -> None:
    weights().write_bytes(content)
    assert found().name == "model"


def test_a_model_whose_weights_have_gone() -> None:
    weights().unlink()
    assert (found().name, "no weights" in found().what) == ("model", True)


def test_a_run_that_was_killed() -> None:
    facts = {"state": "running", "pid": 1, "started": 1.0, "spec": {"pool": "p", "method": "m"}}
    files.write_json(jobs.status_path("job"), facts)
    assert (found().name, "p by m was killed" in found().what) == ("runs", True)


def test_a_clock_that_was_set_back() -> None:
    later = time.time() + 3600
    os.utime(config.store_path(), (later, later))
    assert (found().name, "60 min newer" in found().what) == ("clock", True)


@pytest.mark.parametrize(
    ("needed", "said"),
    [("nosuchpackage>=1", "is not installed"), ("numpy>=99", "does not do, numpy>=99")],
)
def test_a_package_that_is_missing_or_too_old(
    needed: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: [needed])
    assert (found().name, said in found().what) == ("packages", True)


@pytest.mark.parametrize(
    ("cuda", "said"), [(None, "without CUDA"), ("13.0", "driver does not do for this torch")]
)
def test_a_gpu_that_torch_cannot_use(
    cuda: str | None, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "driver").touch()
    monkeypatch.setattr(checkup, "DRIVER", tmp_path / "driver")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (found().name, said in found().what) == ("torch", True)


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: 1 << 30)
    assert (found().name, "1.0 GB of memory" in found().what) == ("memory", True)


@pytest.mark.parametrize("text", ["0", "many", "100000"])
def test_more_threads_than_cores(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert (found().name, f"OMP_NUM_THREADS is {text}" in found().what) == ("threads", True)


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", checkup.PORT))
        other.listen()
        assert found().name == "port"


def test_the_doctor_names_every_fault_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.hardware, "gemm_gflops", lambda _: 1.0)
    assert list(doctor.report())[-1] == "faults    none of those that are looked for"
    weights().write_bytes(b"")
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    lines = [line for line in doctor.report() if line.startswith("fault ")]
    assert [line.split()[1] for line in lines] == ["model:", "threads:"]
