"""A store of an older schema: a copy first, then every step or none."""

import logging
import shutil
import time
from pathlib import Path

import duckdb
import pytest
from calls import jsonl, rows

from benchmarks.kills import contents
from benchmarks.undisturbed import OLD, older
from core import config, store
from core.errors import StoreError
from core.store import pools, schema, upgrade, views


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as an older version left it, with a pool."""
    older(config.cache_dir(), jsonl(tmp_path / "pool.jsonl", rows(30)))
    return config.store_path()


def raw(path: Path) -> tuple[int, dict[str, object]]:
    """Schema and rows of a file, whatever version it is of."""
    with duckdb.connect(str(path), read_only=True) as con:
        return schema.version(con), contents(con)


def backups() -> list[Path]:
    return sorted(config.cache_dir().glob("*.schema-*"))


@pytest.mark.parametrize("write", [False, True])
def test_an_older_store_is_copied_before_it_is_changed(
    write: bool, old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, content = raw(old), old.read_bytes()
    assert before[0] == OLD < len(schema.MIGRATIONS)
    with caplog.at_level(logging.WARNING), store.connect(write=write) as con:
        assert schema.version(con) == len(schema.MIGRATIONS)
        assert len(pools.get_pool(con, "pool")) == 30
    [backup] = backups()
    assert backup.read_bytes() == content
    assert backup.name == f"sftlens.schema-{OLD}.{time.strftime('%Y-%m-%d')}.duckdb"
    assert raw(backup) == before
    assert caplog.messages == [
        f"the store went from schema {OLD} to {len(schema.MIGRATIONS)}; before: {backup}"
    ]
    with store.connect(write=write):
        assert backups() == [backup]


def test_a_step_that_fails_leaves_the_older_store_and_its_copy(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE half_made (a INTEGER)")
        con.execute("SELECT nothing FROM nowhere")

    before = raw(old)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(duckdb.Error), store.connect():
            pass
    assert raw(old) == before  # not even the steps that went well
    assert [raw(path) for path in backups()] == [before]
    with store.connect() as con:
        assert views.facts(con)["samples"] == 30
    assert len(backups()) == 1  # the same copy serves again


def test_a_copy_that_finds_no_room_is_one_line_and_nothing_is_changed(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    content = old.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(upgrade.shutil, "copyfile", full)
        with pytest.raises(StoreError, match="No space left on device") as caught, store.connect():
            pass
    assert "Free some space" in str(caught.value)
    assert old.read_bytes() == content
    assert backups() == []


def test_two_older_stores_of_one_day_have_a_copy_each(old: Path) -> None:
    content = shutil.copy(old, old.with_suffix(".kept"))
    with store.connect():
        pass
    with duckdb.connect(str(content)) as con:
        con.execute("DELETE FROM samples")
    shutil.copy(content, old)
    with store.connect():
        pass
    assert [len(raw(path)[1]["samples"]) for path in backups()] == [0, 30]


def test_a_newer_store_is_refused_in_one_line_without_a_copy(old: Path) -> None:
    with duckdb.connect(str(old)) as con:
        con.execute("INSERT INTO migrations VALUES (99, 'later', now())")
    content = old.read_bytes()
    for write in (False, True):
        with pytest.raises(StoreError, match="written by a newer SFTLens") as caught:
            opened(write)
        assert "\n" not in str(caught.value)
    assert (old.read_bytes(), backups()) == (content, [])


def opened(write: bool) -> None:
    with store.connect(write=write):
        pass
