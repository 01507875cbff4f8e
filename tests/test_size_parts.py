"""Many parts on disk are gone through one at a time, and give what all of them at once would."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from core import blocks
from core.blocks import gather, missing, plan, planned, write_part
from core.engines import Sampling
from core.engines.fake import FakeEngine
from core.errors import RunError
from core.signals import Answers


def names(n: int) -> list[str]:
    return [f"{k * 7919 % 10007:020x}" for k in range(n)]


def test_texts_of_any_length_come_whole_out_of_parts_of_other_lengths(tmp_path: Path) -> None:
    ids = names(9)
    for start in (0, 3, 6):
        texts = np.array([b"x" * (1 + 40 * start + k) for k in range(3)])
        write_part(tmp_path, ids[start : start + 3], {"text": texts})
    found = gather(tmp_path, ids)["text"]
    assert [len(text) for text in found] == [1, 2, 3, 121, 122, 123, 241, 242, 243]
    assert found.dtype == np.dtype("S243")


def test_a_sample_asked_for_twice_comes_twice_and_none_gives_none(tmp_path: Path) -> None:
    ids = names(6)
    write_part(tmp_path, ids[:4], {"a": np.arange(4), "b": np.arange(8.0).reshape(4, 2)})
    write_part(tmp_path, ids[4:], {"a": np.arange(4, 6), "b": np.ones((2, 2))})
    found = gather(tmp_path, [ids[5], ids[0], ids[5], ids[2]])
    assert found["a"].tolist() == [5, 0, 5, 2]
    assert found["b"].tolist() == [[1, 1], [0, 1], [1, 1], [4, 5]]
    assert gather(tmp_path, [])["b"].shape == (0, 2)
    with pytest.raises(RunError, match="measured parts have gone"):
        gather(tmp_path, [ids[0], "f" * 20])


def test_of_two_parts_with_a_sample_the_first_counts(tmp_path: Path) -> None:
    ids = names(5)
    write_part(tmp_path, ids[:4], {"a": np.zeros(4)})
    write_part(tmp_path, ids[2:], {"a": np.ones(3)})
    first = np.load(min(tmp_path.glob("part-*.npz")))
    right = [float(first["a"][0]) if i.encode() in first["ids"].tolist() else None for i in ids]
    other = 1.0 - float(first["a"][0])
    assert gather(tmp_path, ids)["a"].tolist() == [other if x is None else x for x in right]


def test_what_is_missing_is_found_with_one_part_in_memory(tmp_path: Path) -> None:
    ids = names(80)
    for start in range(0, 80, 4):  # 20 parts of 2 MB
        write_part(tmp_path, ids[start : start + 4], {"vector": np.ones((4, 65_536))})
    missing(tmp_path, ids[:1])
    tracemalloc.start()
    assert missing(tmp_path, [*ids, "f" * 20]) == ["f" * 20]
    looked = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    found = gather(tmp_path, ids, "vector")["vector"]
    gathered = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert looked < 8e6
    assert gathered < found.nbytes + 8e6


def test_blocks_of_so_many_samples_are_cut_as_blocks_of_one_would_be() -> None:
    ids = names(50)
    lengths = np.random.default_rng(0).integers(0, 6, 50)
    engine = FakeEngine()
    signal = Answers(sampling=Sampling(2, 1.0, 0.9, 256, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "lengths_of", lambda *_: lengths)
        found, unit = planned(ids, signal, engine, lambda ids: [])
    one_by_one = [i for block in plan(ids, lengths, 1) for i in block.ids]
    assert [i for block in found for i in block.ids] == one_by_one
    assert unit == "samples"
    assert {len(block.ids) for block in found[:-1]} == {signal.per_block}
