"""A damaged store is told in one line, and comes back from what stands beside it, row by row."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from calls import ended, jsonl, kill, python, rows, sftlens, start, wait_until

from benchmarks.kills import contents
from core import config, external, mapping, pools, rebuild, retelling, runs, store
from core.domain import RunSpec, Sample, Turn
from core.errors import StoreError
from core.recipe import Recipe
from core.rules import Search
from core.store import faults, journal, recipes, reviews
from core.store import pools as stored_pools
from core.store.look import damage

LIGHT = {"width": 16, "checkpoints": 1}


def imported(name: str, records: list[Any], kind: Any = "pool") -> None:
    path = jsonl(config.cache_dir().parent / f"{name}.jsonl", records)
    pools.import_files([path], name, kind)


def scored(pool: str, method: str, query: str = "", **params: Any) -> str:
    spec = RunSpec(pool, method, params, model="fake", device="cpu", query=query)
    return runs.execute(spec).run.run_id


def people(run_id: str) -> None:
    """Two versions of a recipe, and two reviews of one sample."""
    with store.connect() as con:
        first = stored_pools.get_pool(con, "pool").sample_ids[0]
    asked = Recipe(pool="pool", method="perplexity", run_id=run_id, policy="top", budget="10%")
    for recipe in (asked, asked.model_copy(update={"rules": (Search(text="it's 👋"),)})):
        with store.connect(write=True) as con:
            recipes.save(con, "mine", recipe, "a note", "ana")
    for verdict in ("good", "bad"):
        with store.connect(write=True) as con:
            reviews.add(con, reviews.Review("pool", first, "ana", verdict, "why\n'so'"))


def fill() -> None:
    """A pool that grew between two runs, imported scores, a map, recipes and reviews."""
    imported("pool", rows(60))
    scored("pool", "perplexity")
    imported("pool", [*rows(10, 55), *rows(3)])  # half of it repeats
    people(scored("pool", "perplexity"))
    imported("few", rows(4, 900))
    imported("asked", rows(3, 500), "query")
    scored("few", "gradient_similarity", "asked", **LIGHT)
    mapping.make("few", "gradients")
    scores = jsonl(config.cache_dir().parent / "s.jsonl", [{"source": "x", "score": 1.5}])
    with store.connect() as con:
        own = stored_pools.get_pool(con, "few").sample_ids[0]
    scores.write_text(json.dumps({"sample_id": own, "score": 0.1 + 0.2}) + "\n", "utf8")
    external.import_scores("few", scores, "sample_id")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(folder / "cache"))
        fill()
    return folder / "cache"


@pytest.fixture
def cache(filled: Path) -> Path:
    shutil.copytree(filled, config.cache_dir())
    return config.cache_dir()


def rebuilt(*words: str) -> str:
    """What the command says."""
    done = sftlens("rebuild", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def held() -> dict[str, Any]:
    with store.connect() as con:
        return contents(con)


def journalled() -> list[journal.Line]:
    return journal.lines(config.cache_dir() / journal.FOLDER)[0]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def blank(path: Path) -> None:
    with path.open("r+b") as out:
        out.write(bytes(9000))


def noise(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as out:
        out.seek(12_288)  # behind the headers
        out.write(random.Random(0).randbytes(size - 12_288))


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [cut, noise, gone])
def test_a_rebuilt_store_has_every_row_of_the_one_that_was_damaged(
    harm: Callable[[Path], None], cache: Path
) -> None:
    before, path = held(), config.store_path()
    harm(path)
    broken = path.read_bytes() if path.exists() else None
    out = "\n".join(rebuild.rebuild().sentences())
    assert held() == before
    assert "not:" not in out
    assert [line.split()[1:4:2] for line in out.splitlines()] == [
        ["4", "4"],  # imports
        ["4", "4"],
        ["1", "1"],
        ["2", "2"],
        ["2", "2"],
    ]
    aside = list(cache.glob("*.damaged.duckdb"))
    assert [p.read_bytes() for p in aside] == [] if broken is None else [broken]
    assert not list(cache.glob(".rebuilt*"))
    with store.connect() as con:  # the newest run is the one that was scored last
        assert con.execute("SELECT method FROM runs ORDER BY rowid").fetchall()[-1] == ("external",)


def test_a_rebuilt_store_takes_writes_and_is_rebuilt_again(cache: Path) -> None:
    blank(config.store_path())
    rebuild.rebuild()
    imported("pool", rows(5, 700))
    scored("pool", "perplexity")
    before = held()
    cut(config.store_path())
    account = rebuild.rebuild()
    assert held() == before
    assert account.there == account.back
    assert len(list(cache.glob("*.damaged*.duckdb"))) == 2


def test_any_damage_is_one_line_that_says_rebuild_or_does_no_harm(
    filled: Path, report: list[str]
) -> None:
    seed = random.randrange(2**31)
    report.append(f"damage was drawn with seed {seed}")
    rng, path = random.Random(seed), config.store_path()
    config.cache_dir().mkdir()
    shutil.copy(filled / path.name, path)
    before, size, told = held(), path.stat().st_size, 0
    for _ in range(24):
        shutil.copy(filled / path.name, path)
        with path.open("r+b") as out:
            out.seek(rng.randrange(size))
            out.write(rng.randbytes(rng.choice([1, 64, 5000])))
        os.truncate(path, size if rng.random() < 0.8 else rng.randrange(size))
        fault = damage(path)
        if fault is None:
            assert held() == before
        else:
            told += 1
            assert "the store is damaged" in str(fault)
            assert str(fault).endswith(faults.REBUILD)
            assert "\n" not in str(fault)
    assert told


def test_what_does_not_come_back_is_named_and_the_counts_balance(cache: Path) -> None:
    [second] = [x for x in journalled() if x.kind == "import" and x.facts["start"] > 0]
    cut(cache / journal.FOLDER / second.facts["file"])
    blank(config.store_path())
    account = rebuild.rebuild()
    lost = {kind: sum(k == kind for k, _ in account.lost) for kind in account.there}
    assert lost == {"import": 1, "run": 1, "map": 0, "recipe": 0, "review": 0}
    for kind, there in account.there.items():
        assert there == account.back[kind] + lost[kind]
    shown = "\n".join(account.sentences())
    assert "imports   3 of 4 came back" in shown
    assert "this copy is gone or damaged. Import its file again." in shown
    assert "the samples that it was made of did not come back" in shown
    with store.connect() as con:
        assert stored_pools.get_pool(con, "pool").sample_ids  # as far as it came


def test_a_run_without_its_parts_is_named_and_no_model_is_asked(cache: Path) -> None:
    for part in (cache / "blocks").glob("*/*.npz"):
        part.unlink()
    blank(config.store_path())
    account = rebuild.rebuild()
    assert account.back["run"] == 1  # the imported scores
    assert all("Score the pool again" in why for kind, why in account.lost if kind == "run")
    assert not list((cache / "blocks").glob("*/*.npz"))


def test_a_store_that_can_be_read_is_left_alone_unless_asked(cache: Path) -> None:
    before, path = held(), config.store_path()
    content = path.read_bytes()
    assert "nothing was done" in rebuilt()
    assert path.read_bytes() == content
    rebuilt("--anyway")
    assert held() == before


def test_a_rebuild_that_is_stopped_changes_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path = held(), config.store_path()
    blank(path)
    content = path.read_bytes()

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retelling, "_recipe", stopped)
        with pytest.raises(KeyboardInterrupt):
            rebuild.rebuild()
    assert path.read_bytes() == content
    assert not list(cache.glob(".rebuilt*"))
    rebuild.rebuild()
    assert held() == before


def test_without_a_journal_there_is_one_line_that_says_what_to_do() -> None:
    config.cache_dir().mkdir()
    config.store_path().write_bytes(bytes(9000))
    with pytest.raises(StoreError, match="nothing stands beside the store") as caught:
        rebuild.rebuild()
    assert "\n" not in str(caught.value)
    assert config.store_path().read_bytes() == bytes(9000)


def test_a_question_that_meets_damage_inside_the_file_says_rebuild(cache: Path) -> None:
    noise(config.store_path())
    for write in (False, True):
        with pytest.raises(StoreError, match=r"the store is damaged.*sftlens rebuild"):
            store_is_read(write)


def store_is_read(write: bool) -> None:
    with store.connect(write=write) as con:
        contents(con)


def test_what_an_older_version_left_in_the_store_alone_is_put_beside_it(cache: Path) -> None:
    before = held()
    shutil.rmtree(cache / journal.FOLDER)
    store._BESIDE.clear()
    with store.connect(write=True):
        pass
    blank(config.store_path())
    account = rebuild.rebuild()
    after = held()
    lost = {name for name in before if before[name] != after.get(name)}
    [old] = [why for _, why in account.lost]  # the run on the pool before it grew
    assert "the samples that it was made of did not come back" in old
    assert len(lost) == 2  # its row, and its table
    assert {name[:4] for name in lost} == {"runs", "run_"}


def test_a_rebuild_without_a_journal_takes_what_can_be_read_of_the_store(cache: Path) -> None:
    before = held()
    shutil.rmtree(cache / journal.FOLDER)
    account = rebuild.rebuild(anyway=True)
    assert account.back["import"] == 3
    assert held()["texts"] == before["texts"]


def test_a_copy_that_is_cut_is_made_again_by_the_next_write(cache: Path) -> None:
    before = held()
    copy = next((cache / journal.FOLDER).glob("import-*.parquet"))
    cut(copy)
    store._BESIDE.clear()
    with store.connect(write=True):
        pass
    assert copy.with_suffix(".damaged").exists()
    blank(config.store_path())
    rebuild.rebuild()
    assert held()["texts"] == before["texts"]


def test_a_line_that_a_kill_has_cut_costs_no_other_line(cache: Path) -> None:
    path = cache / journal.FOLDER / journal.NAME
    os.truncate(path, path.stat().st_size - 5)
    store._BESIDE.clear()
    imported("later", rows(2, 800))
    before = held()
    found, unreadable = journal.lines(path.parent)
    assert unreadable == 1
    assert {line.kind for line in found} == set(journal.KINDS)
    blank(config.store_path())
    assert "1 lines of the journal that cannot be read" in "\n".join(rebuild.rebuild().sentences())
    assert held()["reviews"].total() == before["reviews"].total()


NOTHING = [b"", b"\n", b"\0\xff\n", b"[]\n", b'{"run": 1}\n', b'{"x": {}}\n', b"[" * 9999]


@pytest.mark.parametrize("content", NOTHING)
def test_a_journal_of_nothing_is_no_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / journal.NAME).write_bytes(content)
    assert journal.lines(tmp_path)[0] == []


def test_a_write_that_fails_leaves_no_line_and_no_copy(cache: Path) -> None:
    def beside() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (cache / journal.FOLDER).iterdir()}

    def fails() -> None:
        with store.connect(write=True) as con:
            added = stored_pools.add_pool(con, "more", "pool", spool)
            review = reviews.Review("more", added.pool.sample_ids[0], "ana", "good")
            reviews.add(con, review)
            assert len(beside()) == len(before) + 1
            con.execute("SELECT nothing FROM nowhere")

    with store.connect(write=True):
        before = beside()
    spool = config.folder("spool") / "some.parquet"
    one = Sample((Turn("user", "new"), Turn("assistant", "x")), "tests")
    pq.write_table(stored_pools.arrow_batch([one], 0), spool)
    with pytest.raises(duckdb.Error):
        fails()
    assert beside() == before


def test_an_import_that_was_killed_before_its_end_does_not_come_back(cache: Path) -> None:
    before = held()
    extra = {"pool": "pool", "kind": "pool", "start": 68, "n": 5, "before": "x", "after": "y"}
    with store.connect() as con:
        n = len(stored_pools.get_pool(con, "pool"))
        journal.add(con, "import", extra | {"start": n, "file": "import-0.parquet", "bytes": 1})
    store._BESIDE.clear()
    with store.connect(write=True):
        pass
    blank(config.store_path())
    account = rebuild.rebuild()
    assert account.lost == []
    assert held() == before


def test_ctrl_c_while_a_transaction_ends_leaves_its_line(cache: Path) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    with store.connect() as con:
        line = {"map_id": "0" * 20, "pool": "pool", "fingerprint": "", "source": {}}
        for commit, more in ((pressed, 1), (lambda: con.execute("FROM nowhere"), 0)):
            before = len(journalled())
            with pytest.raises((KeyboardInterrupt, duckdb.Error)), journal.kept(commit):
                journal.add(con, "map", line)
            assert len(journalled()) == before + more


JUDGE = """
import sys
from core import store
from core.store import reviews
with store.connect(write=True, people=True) as con:
    reviews.add(con, reviews.Review("pool", sys.argv[1], "bob", "bad", "meanwhile"))
"""
COMMIT = """
import os, sys, duckdb
con = duckdb.connect(sys.argv[1])
con.execute("INSERT INTO reviews (pool, sample_id, reviewer) VALUES ('pool', 'x', 'cleo')")
os._exit(0)  # killed before its log went into the file
"""


def first_id() -> str:
    with store.connect() as con:
        return stored_pools.get_pool(con, "pool").sample_ids[0]


def reviewers() -> set[str]:
    with store.connect() as con:
        return {name for (name,) in con.execute("SELECT reviewer FROM reviews").fetchall()}


def test_what_is_judged_while_a_store_is_rebuilt_is_in_the_new_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, judged = retelling._map, first_id()

    def meanwhile(*args: Any, **kwargs: Any) -> None:
        assert ended(python("-c", JUDGE, judged))[0] == 0
        told(*args, **kwargs)

    monkeypatch.setattr(retelling, "_map", meanwhile)
    account = rebuild.rebuild(anyway=True)
    assert account.there == account.back
    assert reviewers() == {"ana", "bob"}


def test_a_rebuild_that_is_killed_in_its_last_step_loses_no_commit_of_the_log(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log = config.store_path(), cache / f"{config.store_path().name}.wal"
    ended(python("-c", COMMIT, str(path)))
    assert log.exists()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rebuild.os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            rebuild.rebuild(anyway=True)
    assert reviewers() == {"ana", "cleo"}
    rebuild.rebuild(anyway=True)
    assert reviewers() == {"ana", "cleo"}


def test_a_rebuild_killed_at_any_moment_is_called_again_and_nothing_is_missing(
    filled: Path, report: list[str]
) -> None:
    seed = random.randrange(2**31)
    report.append(f"kills of a rebuild were drawn with seed {seed}")
    rng, cache = random.Random(seed), config.cache_dir()
    with duckdb.connect(str(filled / config.store_path().name), read_only=True) as con:
        before = contents(con)
    for _ in range(3):
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(filled, cache)
        blank(config.store_path())
        process = start("rebuild")
        wait_until(lambda: (cache / ".rebuilt.duckdb").exists() or not damaged(cache), process)
        time.sleep(rng.random())
        kill(process)
        assert "came back" in rebuilt() or held() == before
        assert held() == before
        assert not list(cache.glob(".rebuilt*"))


def damaged(cache: Path) -> bool:
    return not list(cache.glob("*.damaged.duckdb"))


ODD = [
    {"run": {"run_id": []}},
    {"import": {"pool": "pool"}},
    {"import": {"pool": "pool", "kind": "pool", "start": "0", "n": 1, "before": "", "after": ""}},
    {"map": {"map_id": "0", "pool": "pool", "fingerprint": "", "source": 1}},
    {"recipe": {"name": {}, "version": 1}},
    {"review": {"pool": "pool", "sample_id": "x", "note": []}},
]


@pytest.mark.parametrize("line", ODD)
def test_a_line_of_another_shape_stops_neither_a_write_nor_a_rebuild(
    line: dict[str, Any], cache: Path
) -> None:
    before = held()
    with (cache / journal.FOLDER / journal.NAME).open("a") as out:
        out.write(json.dumps(line) + "\n")
    store._BESIDE.clear()
    with store.connect(write=True):
        pass
    blank(config.store_path())
    account = rebuild.rebuild()
    assert (account.unreadable, account.lost) == (1, [])
    assert held() == before


def test_a_line_whose_values_do_not_fit_is_named_and_the_others_come_back(cache: Path) -> None:
    before = held()
    with (cache / journal.FOLDER / journal.NAME).open("a") as out:
        row = dict.fromkeys(reviews.TOLD, "x") | {"sample_id": "0a1b", "created_at": "no time"}
        out.write(json.dumps({"review": row}) + "\n")
    blank(config.store_path())
    [(kind, why)] = rebuild.rebuild().lost
    assert (kind, "its line is damaged" in why, "0a1b" in why) == ("review", True, True)
    assert held() == before
