"""Samples are read in windows: few passes over the texts, and the same samples as one by one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import blocks as block_files
from core import export, fetching, pools, store
from core.domain import Pool, RunSpec
from core.fetching import Texts, in_order
from core.recipe import Recipe
from core.runs import execute
from core.store import pools as stored
from core.store import samples

N = 60


def make(path: Path, n: int = N, first: int = 0) -> Pool:
    rows = [
        {"instruction": f"Say {k}", "output": f"It is {k}. " * (1 + k % 7), "source": f"of {k % 3}"}
        for k in range(first, first + n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    return pools.import_files([path], "pool")[1]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make(tmp_path / "rows.jsonl")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each pass over the texts reads."""
    found: list[int] = []
    read = samples.read_at

    def counted(con, pool, positions):
        found.append(len(list(positions)))
        return read(con, pool, positions)

    monkeypatch.setattr(samples, "read_at", counted)
    monkeypatch.setattr(fetching, "ROWS", 25)
    return found


def by_id(pool: Pool, ids: list[str]) -> list:
    with store.connect() as con:
        return stored.read_samples(con, pool.name, ids)


def test_samples_at_places_are_those_with_their_ids(pool: Pool) -> None:
    order = np.random.default_rng(0).permutation(N)
    for places in (order, order[:7], np.arange(20, 40), order[:1], order[:0]):
        ids = [pool.sample_ids[k] for k in places]
        with store.connect() as con:
            assert samples.read_at(con, "pool", places.tolist()) == by_id(pool, ids)


def test_any_order_is_read_in_windows_of_it(pool: Pool, passes: list[int]) -> None:
    order = np.random.default_rng(1).permutation(N)[:55]
    found = [sample.sample_id for sample in in_order("pool", order)]
    assert found == [pool.sample_ids[k] for k in order]
    assert passes == [25, 25, 5]


def test_a_window_ends_where_its_texts_are_long_enough(
    pool: Pool, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "CHARS", 300)
    found = list(in_order("pool", np.arange(N)))
    assert [sample.sample_id for sample in found] == list(pool.sample_ids)
    sizes = [sum(len(turn.content) for turn in sample.turns) for sample in found]
    ends = np.cumsum(passes)
    assert len(passes) > 5
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        assert sum(sizes[start:end]) <= 300 < sum(sizes[start : end + 1]) or end == N
    monkeypatch.setattr(fetching, "CHARS", 1)  # one sample is read, however long
    assert len(list(in_order("pool", np.arange(5)))) == 5


def test_blocks_that_come_as_expected_share_their_windows(pool: Pool, passes: list[int]) -> None:
    order = np.random.default_rng(2).permutation(N)
    ids = [pool.sample_ids[k] for k in order]
    fetch = Texts(pool, ids)
    blocks = [ids[start : start + 4] for start in range(0, N, 4)]
    assert [s.sample_id for block in blocks for s in fetch(block)] == ids
    assert passes == [25, 25, 10]
    assert not fetch._held  # nothing stays that nobody will ask for


def test_a_block_out_of_order_or_again_is_read_alone(pool: Pool, passes: list[int]) -> None:
    ids = list(pool.sample_ids)
    fetch = Texts(pool, ids)
    for block in (ids[40:44], ids[:4], ids[:4], ids[20:30], ids[4:8], ids[55:], ids[8:20]):
        assert [s.sample_id for s in fetch(block)] == block
        assert fetch(block) == by_id(pool, block)  # of a worker that died
    unprepared = Texts(pool)
    assert unprepared(ids[3:5]) == by_id(pool, ids[3:5])


@pytest.mark.parametrize("method", ["differential_entropy", "answer_divergence"])
def test_scoring_goes_over_the_texts_a_few_times_however_many_blocks_there_are(
    method: str, tmp_path: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "rows.jsonl", 500)
    monkeypatch.setattr(fetching, "ROWS", 250)
    blocks: list[int] = []
    plan = block_files.planned

    def counted(*args: Any) -> Any:
        found = plan(*args)
        blocks.append(len(found[0]))
        return found

    monkeypatch.setattr(block_files, "planned", counted)
    params = {"k": 2, "bins": 5} if method == "answer_divergence" else {}
    execute(RunSpec("pool", method, params, model="fake", device="cpu"))
    assert sum(blocks) > 30
    assert sum(size > 100 for size in passes) <= 4 * len(blocks) + 4
    assert sum(passes) < (2 * len(blocks) + 6) * 500


def test_an_export_of_any_order_has_the_samples_in_it(pool: Pool, passes: list[int]) -> None:
    run = execute(RunSpec("pool", "random", model="fake", device="cpu")).run
    recipe = Recipe(pool="pool", method="random", run_id=run.run_id, budget="30")
    selection = export.select(recipe)
    passes.clear()
    shown = export.preview(selection, export.Layout(scores=True), 30)
    assert [row["sftlens_id"] for row in shown] == list(selection.ids[selection.subset.chosen])
    assert [row["instruction"] for row in shown] == [
        s.instruction for s in by_id(pool, [row["sftlens_id"] for row in shown])
    ]
    assert passes[:2] == [25, 5]


def test_an_import_in_pieces_is_the_pool_that_one_piece_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(tmp_path / "whole.jsonl", 50)
    everything = by_id(whole, list(whole.sample_ids))
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(stored, "ROWS", 7)
    lines = (tmp_path / "whole.jsonl").read_text("utf8").splitlines()
    (tmp_path / "again.jsonl").write_text("\n".join([*lines[:30], *lines[:9], *lines[30:]]))
    books, pieces = pools.import_files([tmp_path / "again.jsonl"], "pool")
    assert (books.imported, books.duplicates) == (50, 9)
    assert (pieces.sample_ids, pieces.fingerprint) == (whole.sample_ids, whole.fingerprint)
    assert by_id(pieces, list(pieces.sample_ids)) == everything
