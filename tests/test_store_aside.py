"""A long write in a copy of the store: nobody waits for it, nothing is lost, all of it or none."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import duckdb
import pytest
from calls import ended, jsonl, kill, python, rows, wait_until

from benchmarks.kills import contents
from core import config, pools, rebuild, runs, store
from core.domain import RunSpec
from core.errors import SFTLensError, StoreError
from core.recipe import Recipe
from core.store import aside, journal, recipes, reviews
from core.store import pools as stored_pools

ALWAYS = """
import pathlib, sys, time
from core import cli, store
from core.store import aside
aside.LONG_S, aside.WORTH, aside.SPARE = -1.0, 1e12, -(1 << 60)
"""
HOLD = (
    ALWAYS
    + """
with store.connect(write=True, lasts_s=1.0) as con:
    con.execute("INSERT INTO pools VALUES ('long', 'pool', '', 0, now())")
    print("writing", flush=True)
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
"""
)
IMPORT = ALWAYS + "cli.main()"


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "LONG_S", -1.0)  # every write is a long one
    monkeypatch.setattr(aside, "WORTH", 1e12)
    monkeypatch.setattr(aside, "SPARE", -(1 << 60))
    pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(40))], "pool")


@pytest.fixture
def writer(tmp_path: Path) -> "Popen[str]":
    """A process in the middle of a long write, until the file `go` is there."""
    process = python("-c", HOLD, str(tmp_path / "go"))
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def names() -> list[str]:
    with store.connect() as con:
        return [name for (name,) in con.execute("SELECT pool FROM pools ORDER BY 1").fetchall()]


def held() -> dict[str, Any]:
    with store.connect() as con:
        return contents(con)


def judge(who: str) -> None:
    with store.connect() as con:
        first = stored_pools.get_pool(con, "pool").sample_ids[0]
    with store.connect(write=True, people=True) as con:
        reviews.add(con, reviews.Review("pool", first, who, "good", "why"))
    with store.connect(write=True, people=True) as con:
        recipes.save(con, who, Recipe(pool="pool", method="length", run_id="0" * 20))


def judges() -> tuple[list[str], list[str]]:
    with store.connect() as con:
        said = [row["reviewer"] for row in reviews.rows(con)]
        return said, [row["name"] for row in recipes.rows(con)]


def left_over() -> list[str]:
    return [path.name for path in config.cache_dir().glob(".*.part*")]


def test_people_read_and_judge_during_a_long_write_and_all_of_it_is_there_in_the_end(
    writer: "Popen[str]", tmp_path: Path
) -> None:
    judge("during")
    assert names() == ["pool"]
    judge("later")
    assert (judges()[0], writer.poll()) == (["during", "later"], None)
    (tmp_path / "go").touch()
    assert ended(writer)[0] == 0
    assert names() == ["long", "pool"]
    assert judges() == (["during", "later"],) * 2
    assert left_over() == []
    judge("after")  # numbers and versions go on
    assert judges() == (["during", "later", "after"],) * 2


def test_who_writes_more_than_words_waits_for_a_long_write(
    writer: "Popen[str]", tmp_path: Path
) -> None:
    other = python(
        "-c",
        "from core import store\n"
        "print('comes', flush=True)\n"
        "with store.connect(write=True) as con:\n"
        "    print(con.execute('SELECT count(*) FROM pools').fetchone()[0], flush=True)",
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "comes\n"
    (tmp_path / "go").touch()
    assert ended(other)[1] == "2\n"
    assert ended(writer)[0] == 0


def test_a_long_write_that_is_killed_leaves_no_row_and_the_next_one_sweeps_its_copy(
    writer: "Popen[str]",
) -> None:
    judge("during")
    before = held()
    kill(writer)
    assert held() == before
    assert left_over() != []
    with store.connect(write=True, lasts_s=1.0) as con:
        con.execute("INSERT INTO pools VALUES ('next', 'pool', '', 0, now())")
    assert (names(), left_over()) == (["next", "pool"], [])


def test_a_long_write_that_fails_takes_back_its_own_lines_alone(tmp_path: Path) -> None:
    def beside() -> list[str]:
        return sorted(path.name for path in (config.cache_dir() / journal.FOLDER).iterdir())

    def fails() -> None:
        spool = config.folder("spool") / "more.parquet"
        import pyarrow.parquet as pq

        pq.write_table(stored_pools.arrow_batch([more], 0), spool)
        with store.connect(write=True, lasts_s=1.0) as con:
            stored_pools.add_pool(con, "pool", "pool", spool)
            judge("during")
            raise KeyError

    with store.connect() as con:
        more = stored_pools.read_samples(con, "pool", stored_pools.get_pool(con, "pool").sample_ids)
    [more] = [s for s in more[:1]]
    more = type(more)((*more.turns, *more.turns), more.source)
    before = beside()
    with pytest.raises(KeyError):
        fails()
    assert (beside(), left_over()) == (before, [])
    kinds = [line.kind for line in journal.lines(config.cache_dir() / journal.FOLDER)[0]]
    assert kinds == ["import", "review", "recipe"]
    assert judges() == (["during"], ["during"])


def test_what_a_program_that_takes_no_turns_wrote_meanwhile_is_not_overwritten(
    writer: "Popen[str]", tmp_path: Path
) -> None:
    with duckdb.connect(str(config.store_path())) as con:
        con.execute("INSERT INTO pools VALUES ('foreign', 'pool', '', 0, now())")
    (tmp_path / "go").touch()
    code, _, err = ended(writer)
    assert code == 1
    assert "StoreError" in err
    assert "Call it again; nothing was changed." in err
    assert (names(), left_over()) == (["foreign", "pool"], [])


def test_a_store_made_by_long_writes_holds_the_rows_of_one_made_by_short_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill() -> dict[str, Any]:
        for k in range(2):
            pools.import_files([jsonl(tmp_path / f"{k}.jsonl", rows(50, 30 * k))], "grown")
            runs.execute(RunSpec("grown", "perplexity", model="fake", device="cpu"))
        judge("ana")
        found = held()
        rebuild.rebuild(anyway=True)
        assert held() == found
        return {name: found[name] for name in found if name != "pools"}

    inodes = []
    replaced = aside.os.replace
    monkeypatch.setattr(
        aside.os, "replace", lambda *args: (inodes.append(args), replaced(*args))[1]
    )
    long = fill()
    assert any(str(to) == str(config.store_path()) for _, to in inodes)
    monkeypatch.setattr(aside, "LONG_S", 1e9)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "short"))
    pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(40))], "pool")
    assert fill() == long


def test_a_long_import_killed_at_any_moment_adds_all_or_nothing_and_is_called_again(
    tmp_path: Path, report: list[str]
) -> None:
    seed = random.randrange(2**31)
    report.append(f"kills of a long import were drawn with seed {seed}")
    rng, before = random.Random(seed), held()
    file = jsonl(tmp_path / "more.jsonl", rows(9000, 100))
    words = ("-c", IMPORT, "import", str(file), "--pool", "more", "--yes")
    for _ in range(4):
        process = python(*words)
        wait_until(lambda ended=process.poll: left_over() or ended() is not None)
        time.sleep(0.6 * rng.random())
        kill(process)
        now = held()
        there = now["samples"].total() - before["samples"].total()
        assert there in (0, 9000)
        assert there or now == before
    assert ended(python(*words))[0] == 0
    assert held()["samples"].total() - before["samples"].total() == 9000
    assert left_over() == []
    found = held()
    rebuild.rebuild(anyway=True)
    assert held() == found


def test_a_copy_that_finds_no_room_changes_nothing(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    small_disk(64_000)
    pools.import_files([jsonl(tmp_path / "a.jsonl", rows(50))], "pool")
    before = held()
    more = jsonl(tmp_path / "b.jsonl", rows(6000, 50))
    for spare in (100, 900, 2000):
        used = sum(p.stat().st_blocks for p in config.cache_dir().rglob("*")) // 2
        small_disk(used + spare)
        with pytest.raises(SFTLensError, match="Free some space"):
            pools.import_files([more], "pool")
        assert (held(), left_over()) == (before, [])
    small_disk(64_000)
    assert pools.import_files([more], "pool")[0].imported == 6000


def test_a_copy_is_made_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    path = config.store_path()
    for name, value in (("LONG_S", 0.3), ("WORTH", 10.0), ("SPARE", 0)):
        monkeypatch.setattr(aside, name, value)
    assert aside.pays(path, 1.0)
    assert not aside.pays(path, 0.2)
    monkeypatch.setattr(aside, "COPIED", 1.0)  # a byte in a second
    assert not aside.pays(path, 1.0)
    monkeypatch.setattr(aside, "COPIED", 1e9)
    monkeypatch.setattr(aside, "SPARE", 1 << 62)
    assert not aside.pays(path, 1.0)


def test_a_long_write_whose_copy_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "COPY", "import sys; sys.exit(28)")
    with (
        pytest.raises(StoreError, match="No space left on device") as told,
        store.connect(write=True, lasts_s=1.0),
    ):
        raise AssertionError("the body ran")
    assert "\n" not in str(told.value)
    assert (names(), left_over()) == (["pool"], [])
