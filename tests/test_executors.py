"""Executors: whoever measures a block, its part is the same, and so is the sentence of an error."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CHATML, byte_bpe, save_adapter, save_model

from core.blocks import Task, planned, write_part
from core.domain import Sample, Turn
from core.engines import Pooling, Sampling, Sketch, loader
from core.engines.hardware import Precision
from core.errors import RunError
from core.executors import Executor, Serial, opened, room, wire
from core.executors.processes import Processes
from core.methods import build, catalogue
from core.models import Checkpoint
from core.signals import (
    Answers,
    AnswerToken,
    AnswerVectors,
    Embedding,
    Gradient,
    Signal,
    TokenStats,
)

FAKE = Checkpoint("fake", "", "", "fake")
FLOAT = Precision("cpu", "fp32")
DRAWN = Answers(sampling=Sampling(3, 1.0, 0.9, 6, 1))
SIGNALS = (
    TokenStats(),
    AnswerToken(),
    DRAWN,
    AnswerVectors(answers=DRAWN, pooling=Pooling("mean", (-2, -1))),
    Embedding(pooling=Pooling("position")),
    Gradient(sketch=Sketch("sjlt", 32, 5)),
)


def workers() -> list[psutil.Process]:
    """Processes that measure for this one."""
    children = psutil.Process().children(recursive=True)
    return [p for p in children if p.is_running() and "core.executors.worker" in p.cmdline()]


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with Processes(2) as executor:
        yield executor
    assert not workers()


class Pool:
    """Samples in memory, and which were asked for."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.by_id = {s.sample_id: s for s in samples}
        self.asked: list[str] = []

    def __call__(self, ids: Sequence[str]) -> list[Sample]:
        self.asked += ids
        return [self.by_id[i] for i in ids]


def task(fetch: Pool, folder: Path, signal: Signal, checkpoint: Checkpoint = FAKE) -> Task:
    given = folder.parent / f"{folder.name}-given" if signal.after else None
    return Task(signal, loader.load(checkpoint, FLOAT), fetch, folder, 200, given)


def measured(executor: Any, work: Task) -> dict[str, dict[str, np.ndarray]]:
    """The parts of a task by name, and of the one that it comes after."""
    if work.signal.after:
        before = Task(work.signal.after, work.engine, work.fetch, work.given, 200)  # type: ignore[arg-type]
        measured(Serial(), before)
    ids = list(work.fetch.by_id)  # type: ignore[attr-defined]
    work.engine.block_tokens = 100
    blocks, _ = planned(ids, work.signal, work.engine, work.fetch)
    assert len(blocks) > 3
    assert sorted(b.ids for b in executor.map(work, blocks)) == sorted(b.ids for b in blocks)
    found = {}
    for path in sorted(work.folder.glob("part-*.npz")):
        with np.load(path) as archive:
            found[path.name] = {name: archive[name] for name in archive.files}
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, arrays in a.items():
        assert arrays.keys() == b[name].keys()
        for column, array in arrays.items():
            np.testing.assert_array_equal(array, b[name][column], strict=True)


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda s: type(s).__name__)
def test_serial_and_processes_give_the_same_parts(
    signal: Signal, samples: list[Sample], two: Processes, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Answers, "per_block", 7)
    fetch = Pool(samples)
    right = measured(Serial(), task(fetch, tmp_path / "serial", signal))
    same(measured(two, task(fetch, tmp_path / "processes", signal)), right)
    assert len(workers()) == 2


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda s: type(s).__name__)
def test_a_real_model_gives_the_same_bits_in_a_worker(
    signal: Signal, samples: list[Sample], two: Processes, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Answers, "per_block", 9)
    base = save_model(tmp_path / "model", byte_bpe(CHATML))
    checkpoint, _ = save_adapter(base, tmp_path / "adapter.safetensors")
    fetch = Pool(samples)
    work = task(fetch, tmp_path / "serial", signal, checkpoint)
    with room.one_thread(work.engine):
        right = measured(Serial(), work)
    same(measured(two, task(fetch, tmp_path / "processes", signal, checkpoint)), right)


def test_the_longest_blocks_are_given_first(
    samples: list[Sample], two: Processes, tmp_path: Path
) -> None:
    fetch = Pool(samples)
    work = task(fetch, tmp_path / "parts", TokenStats())
    blocks, _ = planned(list(fetch.by_id), work.signal, work.engine, fetch)
    fetch.asked.clear()
    list(two.map(work, blocks))
    assert fetch.asked == [i for block in blocks for i in block.ids]


def told_of_a_damaged_block(
    samples: list[Sample], executor: Executor, folder: Path, name: str
) -> RunError:
    """What an executor raises where a block's own earlier part is damaged."""
    fetch, signal = Pool(samples), SIGNALS[3]
    work = task(fetch, folder / name, signal)
    blocks, _ = planned(list(fetch.by_id), TokenStats(), work.engine, fetch)
    assert work.given is not None
    write_part(work.given, blocks[0].ids, {"text": np.zeros((len(blocks[0].ids), 3), "S9")})
    [part] = work.given.glob("part-*.npz")
    part.write_bytes(b"damaged")
    with pytest.raises(RunError) as caught:
        list(executor.map(work, blocks))
    assert (caught.value.what, caught.value.do[:7]) == ("measured parts have gone", "Run the")
    return caught.value


def test_a_failing_block_is_the_sentence_it_is_without_workers(
    samples: list[Sample], two: Processes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    each = ((Serial(), "serial"), (two, "processes"))
    told = [
        str(told_of_a_damaged_block(samples, executor, tmp_path, name)).replace(name, "")
        for executor, name in each
    ]
    assert told[0] == told[1]
    assert caplog.text.count("its samples are measured again") == 2  # a worker's line, too
    assert not workers()


def test_a_fault_in_a_worker_brings_its_traceback(
    samples: list[Sample], two: Processes, tmp_path: Path
) -> None:
    work = task(Pool(samples), tmp_path / "parts", Gradient(sketch=None))  # type: ignore[arg-type]
    with pytest.raises(wire.WorkerFault, match="AttributeError: 'NoneType'") as caught:
        measured(two, work)
    [note] = caught.value.__notes__
    assert "Traceback" in note
    assert "core/engines/fake.py" in note


def test_a_disk_that_refuses_is_an_error_of_the_disk(
    samples: list[Sample], two: Processes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError) as caught:
        measured(two, task(Pool(samples), tmp_path / "file" / "parts", TokenStats()))
    assert caught.value.errno is not None


@pytest.mark.parametrize("name", [n for n, cls in catalogue().items() if cls.measures])
def test_every_signal_of_a_method_arrives_as_it_was_sent(name: str) -> None:
    needs = build(name).needs()
    for signal in needs.values():
        assert wire.made(wire.plain(signal)) == signal


ANY = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=8)


@settings(max_examples=50)
@given(texts=st.tuples(ANY, ANY, ANY, ANY), meta=st.dictionaries(ANY | st.just("is"), ANY))
def test_every_sample_arrives_as_it_was_sent(
    texts: tuple[str, ...], meta: dict[str, str], tmp_path_factory: Any
) -> None:
    import io

    ask, say, source, part = texts
    sample = Sample((Turn("user", ask), Turn("assistant", say)), source, part, meta, ask + say)
    work = task(Pool([sample]), tmp_path_factory.getbasetemp(), TokenStats())
    blocks, _ = planned([sample.sample_id], work.signal, work.engine, work.fetch)
    sent = wire.receive(io.BytesIO(wire.packed(wire.work(work, blocks[0]))))
    made, block = wire.task_of(sent, work.engine)
    assert (made.fetch(block.ids), block) == ([sample], blocks[0])
    assert (made.signal, made.folder, made.given) == (work.signal, work.folder, None)


def test_the_serial_executor_and_one_worker_are_this_process() -> None:
    for name, number in (("serial", 5), ("serial", None), ("processes", 1)):
        with opened(name, number) as executor:  # type: ignore[arg-type]
            assert isinstance(executor, Serial)
