"""Measured parts: a kill, a damaged file or another order of the pool changes no number."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import blocks
from core.blocks import Task, gather, gather_few, lengths_of, missing, plan, read_parts, write_part
from core.domain import Sample
from core.engines.fake import FakeEngine
from core.errors import RunError
from core.executors import Serial
from core.signals import TokenStats

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def names(n: int) -> list[str]:
    return [f"{k:020x}" for k in range(n)]


def some(ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays that say which sample they are of."""
    numbers = np.array([int(i, 16) for i in ids])
    return {"nll": numbers * 0.5, "curve": numbers[:, None] + np.arange(3.0), "long": numbers > 3}


def parts_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.npz"))


def test_a_part_comes_back_as_it_was_written(tmp_path: Path) -> None:
    ids = names(7)
    write_part(tmp_path, ids, some(ids))
    found = read_parts(tmp_path)
    assert [i.decode() for i in found.pop("ids")] == ids
    for name, array in some(ids).items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert len(list(tmp_path.iterdir())) == 1  # no temporary file stays


def test_gather_is_in_the_order_asked_for(tmp_path: Path) -> None:
    ids = names(12)
    for chunk in (ids[7:], ids[:3], ids[3:7]):
        write_part(tmp_path, chunk, some(chunk))
    asked = [ids[k] for k in np.random.default_rng(0).permutation(12)[:9]]
    for name, array in gather(tmp_path, asked).items():
        np.testing.assert_array_equal(array, some(asked)[name])


def test_the_parts_of_a_few_are_those_of_all_while_parts_come_and_go(tmp_path: Path) -> None:
    ids = names(12)
    for chunk in (ids[:5], ids[5:9], ids[9:]):
        write_part(tmp_path, chunk, some(chunk))
        for asked in (chunk[::-1], [chunk[0], ids[0]]):
            found = gather_few(tmp_path, asked)
            for name, array in gather(tmp_path, asked).items():
                np.testing.assert_array_equal(found[name], array)
    read = []
    with pytest.MonkeyPatch.context() as patch:
        load = np.load
        patch.setattr(np, "load", lambda raw, **how: read.append(raw.name) or load(raw, **how))
        gather_few(tmp_path, ids[6:8])
    assert len(read) == 1  # of three parts
    Path(read[0]).unlink()
    with pytest.raises(RunError, match="measured parts have gone"):
        gather_few(tmp_path, ids[6:8])
    np.testing.assert_array_equal(gather_few(tmp_path, ids[9:])["nll"], some(ids[9:])["nll"])


def test_a_sample_in_two_parts_is_one_sample(tmp_path: Path) -> None:
    ids = names(6)
    write_part(tmp_path, ids[:4], some(ids[:4]))
    write_part(tmp_path, ids[2:], some(ids[2:]))
    assert missing(tmp_path, ids) == []
    np.testing.assert_array_equal(gather(tmp_path, ids)["nll"], some(ids)["nll"])


def test_missing_keeps_order_and_an_empty_folder_misses_all(tmp_path: Path) -> None:
    ids = names(9)
    assert missing(tmp_path / "nowhere", ids) == ids
    write_part(tmp_path, ids[3:5], some(ids[3:5]))
    assert missing(tmp_path, ids[::-1]) == [i for i in ids[::-1] if i not in ids[3:5]]


@pytest.mark.parametrize("damage", ["cut short", "emptied", "garbled", "not an archive"])
def test_a_damaged_part_is_set_aside_and_its_samples_are_missing(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    ids = names(10)
    write_part(tmp_path, ids[:4], some(ids[:4]))
    [victim] = parts_of(tmp_path)
    write_part(tmp_path, ids[4:], some(ids[4:]))
    whole = victim.read_bytes()
    victim.write_bytes(
        {
            "cut short": whole[: len(whole) // 2],
            "emptied": b"",
            "garbled": whole[:100] + bytes(200) + whole[300:],
            "not an archive": b"\x93NUMPY and so on",
        }[damage]
    )
    assert missing(tmp_path, ids) == ids[:4]
    assert victim.with_suffix(".damaged").exists()
    assert "measured again" in caplog.text
    write_part(tmp_path, ids[:4], some(ids[:4]))
    np.testing.assert_array_equal(gather(tmp_path, ids)["nll"], some(ids)["nll"])


def test_gather_never_gives_another_samples_numbers(tmp_path: Path) -> None:
    ids = names(5)
    for held, asked in (([], ids), (ids[1:], ids), (ids[:-1], ids), (ids[::2], ids)):
        folder = tmp_path / str(len(held)) / str(held[:1])
        if held:
            write_part(folder, held, some(held))
        for read in (gather, gather_few):
            with pytest.raises(RunError, match="measured parts have gone"):
                read(folder, asked)


@settings(deadline=None)
@given(lengths=LENGTHS, budget=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_plan_covers_each_id_once_whatever_the_order_of_the_pool(
    lengths: list[int], budget: int, seed: int
) -> None:
    ids, sizes = names(len(lengths)), np.array(lengths)
    planned = plan(ids, sizes, budget)
    assert sorted(i for block in planned for i in block.ids) == ids
    size_of = dict(zip(ids, lengths, strict=True))
    assert [b.work for b in planned] == [sum(size_of[i] for i in b.ids) for b in planned]
    assert all(b.work >= budget for b in planned[:-1])
    assert all(b.work - size_of[b.ids[-1]] < budget for b in planned)
    order = np.random.default_rng(seed).permutation(len(ids))
    assert plan([ids[k] for k in order], sizes[order], budget) == planned


@settings(deadline=None)
@given(lengths=LENGTHS, budget=st.integers(1, 200), done=st.integers(0, 80))
def test_what_remains_after_a_kill_is_cut_as_it_was(
    lengths: list[int], budget: int, done: int
) -> None:
    ids, sizes = names(len(lengths)), np.array(lengths)
    planned = plan(ids, sizes, budget)
    gone = {i for block in planned[:done] for i in block.ids}
    left = [k for k, i in enumerate(ids) if i not in gone]
    assert plan([ids[k] for k in left], sizes[left], budget) == planned[done:]


def test_nothing_to_measure_is_an_empty_plan() -> None:
    assert plan([], np.array([], np.int64), 100) == []


def test_a_killed_and_resumed_measurement_equals_an_undisturbed_one(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "PLAN_CHUNK", 7)  # several chunks of texts
    by_id = {s.sample_id: s for s in samples}
    ids = list(by_id)
    engine, signal = FakeEngine(), TokenStats()

    def fetch(wanted: Sequence[str]) -> list[Sample]:
        return [by_id[i] for i in wanted]

    def measure(folder: Path, kill_after: int | None) -> None:
        todo = missing(folder, ids)
        lengths = lengths_of(todo, signal, engine, fetch)
        planned = plan(todo, lengths, 60)
        task = Task(signal, engine, fetch, folder, max_tokens=4096)
        done = list(islice(Serial().map(task, planned), kill_after))
        assert kill_after is None or len(done) == kill_after < len(planned)

    measure(tmp_path / "whole", None)
    for kill_after in (2, 1, None):
        measure(tmp_path / "resumed", kill_after)
    assert [p.name for p in parts_of(tmp_path / "resumed")] == [
        p.name for p in parts_of(tmp_path / "whole")
    ]
    alone = signal.measure(samples, engine, 4096, {})
    for folder in ("whole", "resumed"):
        for name, array in gather(tmp_path / folder, ids).items():
            np.testing.assert_array_equal(array, alone[name])
