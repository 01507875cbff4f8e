"""Where memory is short less is read at once: the same numbers, a line, and at last a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_executors import DRAWN, FLOAT, Pool, measured, task
from tiny import CHATML, byte_bpe, save_model

from benchmarks.nodes import outcome, records
from core.blocks import Block, Task
from core.domain import Sample
from core.engines import loader, sampling
from core.engines.hf import HFEngine
from core.errors import ModelError, RunError
from core.executors import Name, opened, wire
from core.executors.measurer import Measurer
from core.models import Checkpoint
from core.signals import TokenStats

CPU = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_worker_short_of_memory_halves_its_budget_and_goes_on(
    executor: Name,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = records(tmp_path / "pool.json", 120)
    right = outcome(pool)
    assert "out of memory" not in caplog.text
    monkeypatch.setenv("SFTLENS_FAKE_ROOM_TOKENS", "100")
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "short"))
    with opened(executor, 2) as workers:
        found = outcome(pool, workers)
    assert (found.scores, found.parts, found.twice) == (right.scores, right.parts, 0)
    said = [caplog.text.count(f"going on with {n} tokens at once") for n in (256, 128, 64, 32)]
    assert min(said[:3]) >= 1
    assert said[3] == 0


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_no_memory_for_one_sample_is_one_sentence(
    executor: Name, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_FAKE_ROOM_TOKENS", "0")
    with opened(executor, 2) as short, pytest.raises(RunError) as caught:
        measured(short, task(Pool(samples), tmp_path / "parts", TokenStats()))
    assert str(caught.value) == (
        "fake: memory is short even for one sample at a time."
        " Use fewer workers (--workers 1), a smaller --max-tokens, or --dtype bf16."
    )


def test_a_worker_killed_for_its_memory_is_followed_by_one_with_half_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = records(tmp_path / "pool.json", 120)
    right = outcome(pool)
    monkeypatch.setenv("SFTLENS_FAKE_ROOM_TOKENS", "200")  # a quarter of the budget fits
    monkeypatch.setenv("SFTLENS_FAKE_KILLED", "yes")
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "killed"))
    with opened("processes", 2) as workers:
        found = outcome(pool, workers)
    assert (found.scores, found.parts, found.twice) == (right.scores, right.parts, 0)
    again = "died (signal 9); its block is measured again, with half as many tokens at once"
    assert caplog.text.count(again) >= 2


def test_a_block_that_is_killed_at_every_budget_is_one_sentence(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_FAKE_ROOM_TOKENS", "0")
    monkeypatch.setenv("SFTLENS_FAKE_KILLED", "yes")
    with opened("processes", 2) as short, pytest.raises(RunError) as caught:
        measured(short, task(Pool(samples), tmp_path / "parts", TokenStats()))
    said = "a process that measures died 3 times on the same block. Got 'signal 9'. If memory"
    assert said in str(caught.value)


def test_a_budget_is_halved_as_often_as_a_message_asks_and_never_grows(
    samples: list[Sample], tmp_path: Path
) -> None:
    work, block = task(Pool(samples), tmp_path, TokenStats()), Block((samples[0].sample_id,), 0)
    measurer = Measurer(0)
    found = [measurer._loaded(wire.work(work, block, n)).batch_tokens for n in (0, 2, 1, 3, 99)]
    assert found == [512, 128, 128, 64, 1]


@pytest.fixture
def real(tmp_path: Path) -> Checkpoint:
    return save_model(tmp_path / "model", byte_bpe(CHATML))


def errors() -> list[Exception]:
    import torch

    return [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            RuntimeError(CPU), MemoryError()]  # fmt: skip


@pytest.mark.parametrize("kind", range(3))
def test_a_real_engine_gives_the_same_numbers_in_smaller_batches(
    kind: int, real: Checkpoint, samples: list[Sample], tmp_path: Path, monkeypatch: Any
) -> None:
    def gained(engine: Any) -> dict[str, Any]:
        work = Task(TokenStats(), engine, Pool(samples), tmp_path, 4096)
        return work.measured(Block(tuple(s.sample_id for s in samples), 0))

    right = gained(loader.load(real, FLOAT))
    states, seen = HFEngine.states, []

    def short(self: HFEngine, tokens: Any, *rest: Any) -> Any:
        if tokens.numel() > 300 and len(tokens) > 1:
            raise errors()[kind]
        seen.append(tokens.numel())
        return states(self, tokens, *rest)

    monkeypatch.setattr(HFEngine, "states", short)
    engine = loader.load(real, FLOAT)
    found = gained(engine)
    assert engine.batch_tokens < 2048
    assert len(seen) > 3
    for name, array in right.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


def test_answers_are_the_same_where_their_cache_is_halved(
    real: Checkpoint, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Task(DRAWN, loader.load(real, FLOAT), Pool(samples), Path(), 4096)
    right = DRAWN.measure(samples[:12], work.engine, 4096, {})
    grow: Callable[..., Any] = sampling.growing_of
    batches: list[int] = []

    def short(engine: Any, asked: Any, k: int) -> Any:
        if engine.halvings < 2:  # 2 GiB, and 1 GiB: far more than these need
            raise MemoryError
        batches.append(len(asked))
        return grow(engine, asked, k)

    monkeypatch.setattr(sampling, "growing_of", short)
    fresh = Task(DRAWN, loader.load(real, FLOAT), Pool(samples), Path(), 4096)
    found = fresh.measured(Block(tuple(s.sample_id for s in samples[:12]), 0))
    assert sum(batches) == 12
    assert fresh.engine.halvings == 2  # type: ignore[attr-defined]
    assert found.keys() == right.keys()
    for name, array in right.items():
        np.testing.assert_array_equal(found[name], array)


def test_another_error_is_no_lack_of_memory(samples: list[Sample], tmp_path: Path) -> None:
    work = task(Pool(samples), tmp_path / "parts", TokenStats())
    before = work.engine.batch_tokens
    work.engine.token_stats = lambda *_: (_ for _ in ()).throw(RuntimeError("a shape is wrong"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        measured(opened("serial").__enter__(), work)
    assert work.engine.batch_tokens == before


def test_weights_that_do_not_fit_are_one_sentence(
    real: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError(CPU)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(ModelError, match="there is no memory for its weights"):
        _ = loader.load(real, FLOAT).model  # type: ignore[attr-defined]
