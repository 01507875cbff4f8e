"""A disk that is full, and files cut short, beside the store: one line, and nothing half there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls import jsonl, rows

from benchmarks.kills import contents
from core import config, pools, rebuild, store
from core.errors import SFTLensError
from core.store import journal, reviews
from core.store import pools as stored


def used_kb() -> int:
    return sum(p.stat().st_blocks for p in config.cache_dir().rglob("*")) // 2


def beside() -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (config.cache_dir() / journal.FOLDER).iterdir()}


def held() -> dict[str, Any]:
    with store.connect() as con:
        return contents(con)


def review(verdict: Any) -> None:
    with store.connect(write=True) as con:
        ids = stored.get_pool(con, "pool").sample_ids
        reviews.add(con, reviews.Review("pool", ids[0], "ana", verdict, "why " * 2000))


def test_an_import_that_finds_no_room_leaves_neither_rows_nor_copy_nor_line(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    small_disk(64_000)
    pools.import_files([jsonl(tmp_path / "a.jsonl", rows(50))], "pool")
    before, copies = held(), beside()
    more = jsonl(tmp_path / "b.jsonl", rows(6000, 50))
    for spare in (40, 150, 300, 600, 1000, 1400):
        small_disk(used_kb() + spare)
        with pytest.raises(SFTLensError, match="Free some space"):
            pools.import_files([more], "pool")
        assert (held(), beside()) == (before, copies)
        assert not list(config.folder("spool").iterdir())
    small_disk(64_000)
    assert pools.import_files([more], "pool")[0].imported == 6000
    before = held()
    rebuild.rebuild(anyway=True)
    assert held() == before


def test_a_review_that_finds_no_room_is_one_line_and_is_not_half_kept(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    small_disk(64_000)
    pools.import_files([jsonl(tmp_path / "a.jsonl", rows(50))], "pool")
    review("good")
    before, copies = held(), beside()
    small_disk(used_kb() + 4)
    with pytest.raises(SFTLensError, match="Free some space"):
        review("bad")
    assert (held(), beside()) == (before, copies)
    small_disk(64_000)
    review("bad")
    assert len(held()["reviews"]) == 2


def test_a_rebuild_that_finds_no_room_is_one_line_and_changes_nothing(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    small_disk(64_000)
    pools.import_files([jsonl(tmp_path / "a.jsonl", rows(3000))], "pool")
    before, content = held(), config.store_path().read_bytes()
    small_disk(used_kb() + 200)
    with pytest.raises(SFTLensError, match="Free some space"):
        rebuild.rebuild(anyway=True)
    assert config.store_path().read_bytes() == content
    small_disk(64_000)
    rebuild.rebuild(anyway=True)
    assert held() == before
