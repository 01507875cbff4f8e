"""How many workers are started: none for little work, and no more than a machine has room for."""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from core.blocks import Block, Task
from core.domain import Sample, Turn
from core.engines import Sampling
from core.engines.fake import FakeEngine
from core.engines.hardware import Precision
from core.executors import room
from core.executors.processes import Processes
from core.signals import Answers, TokenStats


@pytest.mark.parametrize(
    ("number", "model", "stages", "started"),
    [
        (None, "", [5], [0]),  # the fake model is faster than a start
        (None, "a folder", [2, 1], [0, 0]),
        (None, "a folder", [2, 2, 1], [0, 2, 0]),  # four blocks in one run are worth it
        (None, "a folder", [5], [2]),
        (3, "", [1, 2, 5], [0, 2, 3]),  # a number is obeyed, but not for a block that is alone
    ],
)
def test_little_work_starts_no_worker(
    number: int | None,
    model: str,
    stages: list[int],
    started: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[int] = []
    monkeypatch.setattr(room, "workers", lambda task, taken: 2)
    monkeypatch.setattr(room, "one_thread", lambda engine: nullcontext())
    monkeypatch.setattr(Processes, "_shared", lambda _, task, b, n: used.append(n) or iter(b))
    engine = FakeEngine()
    engine.checkpoint = replace(engine.checkpoint, folder=model)
    turns = Turn("user", "Why?"), Turn("assistant", "So.")
    samples = {f"{k:020x}": Sample(turns, "tests") for k in range(5)}
    blocks = [Block((i,), 1) for i in samples]
    task = Task(TokenStats(), engine, lambda ids: [samples[i] for i in ids], tmp_path, 64)
    with Processes(number) as executor:
        for size, right in zip(stages, started, strict=True):
            used.clear()
            assert list(executor.map(task, blocks[:size])) == blocks[:size]
            assert sum(used) == right


def test_room_is_for_cores_memory_and_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    engine = FakeEngine()
    engine.checkpoint = replace(engine.checkpoint, folder=str(tmp_path))
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(5 << 30)  # 5 GiB on disk, 10 in float32, and 2 beside it
    monkeypatch.setattr(room, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    for free, device, dtype, fit in (
        (1024, "cpu", "fp32", 8),
        (64, "cpu", "fp32", 4),
        (64, "cpu", "bf16", 7),
        (8, "cpu", "fp32", 1),
        (8, "cuda", "bf16", 3),
        (1024, "cuda:1", "bf16", 1),
    ):
        monkeypatch.setattr(room, "free_bytes", lambda free=free: free << 30)
        engine.precision = Precision(device, dtype)
        task = Task(TokenStats(), engine, lambda ids: [], tmp_path, 64)
        assert room.workers(task) == fit, (free, device, dtype)
        sampling = Answers(sampling=Sampling(2, 1.0, 0.9, 8, 0))
        assert room.workers(task, 16 << 30) >= fit
        fewer = room.workers(replace(task, signal=sampling))
        assert fewer == {8: 8, 4: 3, 7: 5}.get(fit, fit), (free, device, dtype)


def test_a_containers_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, cores = room.free_bytes(), room.cores()
    assert cores == len(os.sched_getaffinity(0))
    monkeypatch.setattr(room, "GROUP", tmp_path)
    limits = {"memory.max": "700000", "memory.current": "500000", "cpu.max": "50000 100000"}
    for name, text in limits.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert (room.free_bytes(), room.cores()) == (200_000, 1)
    for name in limits:
        (tmp_path / name).write_text("max\n" if name != "cpu.max" else "max 100000\n")
    assert room.cores() == cores
    assert room.free_bytes() > free / 2
