"""Imports: the books balance, nothing is half imported, and what is refused is kept unchanged."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls import jsonl, kill, rows, start, wait_until

from core import config, pools, store
from core.domain import Pool, Sample
from core.errors import PoolError, RecordError
from core.pools import Books
from core.store import pools as stored
from core.store import views

CUT = '{"instruction": "Say hi", "outp'
MIXED = [*rows(6), CUT, *rows(2), {"instruction": "odd \u2028 é", "output": ""}, *rows(3, 6)]


def take(path: Path, name: str = "pool", **options: Any) -> Books:
    books, _ = pools.import_files([path], name, **options)
    assert books.read == books.imported + books.duplicates + books.quarantined
    return books


def pool(name: str = "pool") -> Pool:
    with store.connect() as con:
        return stored.get_pool(con, name)


def texts(name: str = "pool") -> list[Sample]:
    with store.connect() as con:
        return stored.read_samples(con, name, stored.get_pool(con, name).sample_ids)


def counts(books: Books) -> tuple[int, int, int, int]:
    return books.read, books.imported, books.duplicates, books.quarantined


def quarantined(books: Books) -> list[dict[str, str]]:
    assert books.quarantine_file is not None
    return [json.loads(line) for line in books.quarantine_file.read_text("utf8").splitlines()]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "mixed.jsonl", MIXED)


def test_the_books_balance_with_all_three_kinds(mixed: Path) -> None:
    books = take(mixed)
    assert counts(books) == (13, 9, 2, 2)
    assert books.sentence() == "read 13 = imported 9 + duplicates 2 + quarantined 2"
    assert len(pool()) == 9
    assert sum(books.shapes.values()) == books.read - books.quarantined


def test_a_second_import_adds_nothing(mixed: Path) -> None:
    take(mixed)
    before = pool()
    books = take(mixed)
    assert counts(books) == (13, 0, 11, 2)
    assert pool() == before


def test_a_pool_that_grows_appends_and_keeps_positions(tmp_path: Path) -> None:
    take(jsonl(tmp_path / "a.jsonl", rows(5)))
    before = pool().sample_ids
    take(jsonl(tmp_path / "b.jsonl", [*rows(3, 4), *rows(2)]))
    assert pool().sample_ids[:5] == before
    assert [s.record for s in texts()] == [json.dumps(row) for row in rows(7)]
    with store.connect() as con:
        assert list(views.pool_rows(con, "pool")["sample_id"]) == list(pool().sample_ids)


def test_one_import_of_two_files_is_two_imports(tmp_path: Path) -> None:
    a = jsonl(tmp_path / "a.jsonl", rows(5))
    b = jsonl(tmp_path / "b.jsonl", rows(5, 3))
    books, together = pools.import_files([a, b], "together")
    assert counts(books) == (10, 8, 2, 0)
    take(a)
    take(b)
    assert pool().fingerprint == together.fingerprint


def test_many_batches_keep_the_order_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "BATCH", 3)
    take(jsonl(tmp_path / "a.jsonl", rows(10)))
    assert [s.record for s in texts()] == [json.dumps(row) for row in rows(10)]


def test_refused_records_are_kept_unchanged_with_their_place(mixed: Path) -> None:
    books = take(mixed)
    lines = mixed.read_text("utf8").split("\n")
    assert quarantined(books) == [
        {"where": f"{mixed}:7", "reason": "is not JSON: " + cut_fault(), "record": lines[6]},
        {"where": f"{mixed}:10", "reason": "'output' is empty", "record": lines[9]},
    ]
    assert books.first_quarantined[1] == f"{mixed}:10: 'output' is empty"


def cut_fault() -> str:
    try:
        json.loads(CUT)
    except json.JSONDecodeError as error:
        return error.msg
    raise AssertionError("it is JSON")


def test_bytes_that_are_no_text_can_be_written_back(tmp_path: Path) -> None:
    broken = b'{"instruction": "caf\xe9", "output": "ok"}'
    good = json.dumps(rows(1)[0]).encode()
    (tmp_path / "latin.jsonl").write_bytes(good + b"\n" + broken + b"\n")
    [item] = quarantined(take(tmp_path / "latin.jsonl"))
    assert item["record"].encode("utf8", "surrogateescape") == broken


def test_no_quarantine_file_is_ever_overwritten(mixed: Path) -> None:
    made = [take(mixed, name).quarantine_file for name in ("pool", "pool", "pool-1", "pool")]
    assert len({path for path in made if path}) == 4
    assert made[0] is not None
    made[0].unlink()
    kept = {path: path.read_bytes() for path in made[1:] if path}
    take(mixed)
    take(mixed)
    assert kept.items() <= {path: path.read_bytes() for path in made[0].parent.iterdir()}.items()


def test_a_pool_and_a_query_set_cannot_share_a_name(mixed: Path) -> None:
    take(mixed, "one")
    take(mixed, "two", kind="query")
    for name, kind, told in (("one", "query", "is a pool, not"), ("two", "pool", "is a query set")):
        with pytest.raises(PoolError, match=told):
            take(mixed, name, kind=kind)
    assert pool("one").sample_ids == pool("two").sample_ids


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a\\b", "a\nb", "a\0b", "x" * 81, " a", "-a", "\x1b[2J", "a\udc80"]
)
def test_what_is_not_a_name_is_refused_at_once(name: str, mixed: Path) -> None:
    with pytest.raises(PoolError, match="is not a name"):
        take(mixed, name)
    assert not config.store_path().exists()


@pytest.mark.parametrize(
    "name", ["a b", "žluť", "数据", "🎈", "a.b", "'; DROP TABLE pools", "%s*?["]
)
def test_a_name_may_be_in_any_script(name: str, mixed: Path) -> None:
    take(mixed, name)
    assert take(mixed, name).duplicates == 11
    assert pool(name).name == name
    assert take(mixed, name).quarantine_file is not None


def test_a_limit_reads_the_first_records_of_each_file(tmp_path: Path) -> None:
    a = jsonl(tmp_path / "a.jsonl", [CUT, *rows(20)])
    b = jsonl(tmp_path / "b.jsonl", rows(20, 100))
    books, made = pools.import_files([a, b], "pool", limit=5)
    assert counts(books) == (10, 9, 0, 1)
    assert len(made) == 9
    assert counts(take(b, "whole", limit=1000)) == (20, 20, 0, 0)


def test_a_file_of_nothing_but_broken_records_changes_nothing(mixed: Path, tmp_path: Path) -> None:
    take(mixed)
    before = pool()
    with pytest.raises(RecordError, match=r"no record could become a sample; first: .*:1: is not"):
        take(jsonl(tmp_path / "bad.jsonl", [CUT, "[1]", "nonsense"]))
    assert pool() == before


def test_an_import_that_fails_half_way_changes_nothing(mixed: Path, tmp_path: Path) -> None:
    take(mixed)
    before = pool()
    with pytest.raises(RecordError, match="there is no such file"):
        pools.import_files([jsonl(tmp_path / "b.jsonl", rows(9, 50)), tmp_path / "nowhere"], "pool")
    assert pool() == before
    assert list(config.folder("spool").iterdir()) == []


def test_a_file_name_that_is_not_utf8_is_one_sentence(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.jsonl"))
    jsonl(path, rows(2))
    with pytest.raises(RecordError, match="its name is not valid UTF-8"):
        take(path)


def test_a_preview_shows_samples_and_imports_nothing(mixed: Path) -> None:
    look = pools.preview(mixed, None)
    assert look.shapes == {"alpaca": 11}
    assert [s.record for s in look.samples] == [json.dumps(row) for row in rows(3)]
    assert not config.store_path().exists()


N = 12_000  # enough to be caught at any moment


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jsonl(tmp_path_factory.mktemp("long") / "long.jsonl", rows(N))


def grown(pattern: str, least: int) -> Callable[[], bool]:
    """Whether a file of the cache has so many bytes."""
    return lambda: any(p.stat().st_size >= least for p in config.cache_dir().glob(pattern))


MOMENTS = {
    "while it reads": ("spool/*.parquet", 1),
    "when it makes the store": ("*.duckdb", 0),
    "while it writes the store": ("*.duckdb.wal", 20_000),
}


def test_a_killed_import_leaves_all_or_nothing_and_a_second_call_works(long_file: Path) -> None:
    for pattern, least in MOMENTS.values():
        process = start("import", long_file, "--pool", "pool")
        wait_until(grown(pattern, least), process)
        kill(process)
        if config.store_path().exists():
            with store.connect() as con:
                assert views.facts(con)["samples"] in (0, N)
                assert list(views.pools(con)["n"]) in ([], [N])
    books = take(long_file)
    assert books.imported + books.duplicates == N
    assert len(pool()) == N
    assert len(texts()) == N


def test_what_an_import_killed_on_another_machine_left_is_swept_a_day_later(mixed: Path) -> None:
    spool = config.folder("spool")
    left = {age: spool / f"import-00000000-{age}.parquet" for age in (60, 200_000)}
    for age, path in left.items():
        path.touch()
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    take(mixed)
    assert [path.exists() for path in left.values()] == [True, False]


MIX = ("gsm8k_train.jsonl", "codealpaca.json", "alpaca_en_demo.json", "gpteacher_roleplay.json")


def test_the_real_mixed_pool_balances_and_a_second_import_adds_nothing(shared_data: Path) -> None:
    paths = [shared_data / name for name in MIX]
    books, made = pools.import_files(paths, "mixed")
    assert books.read == 16_153 == books.imported + books.duplicates + books.quarantined
    assert len(made) == len(set(made.sample_ids)) == books.imported
    with store.connect() as con:
        sources = views.sources(con, "mixed")
        assert int(sources["n"].sum()) == books.imported
        assert len(sources) == len(MIX)
        assert list(views.pool_rows(con, "mixed")["sample_id"]) == list(made.sample_ids)
    again, same = pools.import_files(paths, "mixed")
    assert counts(again) == (16_153, 0, 16_153 - books.quarantined, books.quarantined)
    assert same == made


def test_every_other_real_file_imports_too(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("*.json*")):
        if path.name not in MIX:
            books = take(path, path.stem)
            assert books.imported > 0.95 * books.read
            assert len(pool(path.stem)) == books.imported


def test_threads_of_one_process_import_at_once_and_each_keeps_its_own(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    found: list[Books] = []

    def work(k: int) -> None:
        try:
            path = jsonl(tmp_path / f"{k}.jsonl", [*rows(300, 300 * k), CUT + str(k)])
            found.append(take(path, "pool"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[k]) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(map(counts, found)) == [(301, 300, 0, 1)] * 4
    assert len(pool()) == 1200
    kept = [item["record"] for books in found for item in quarantined(books)]
    assert sorted(kept) == [CUT + str(k) for k in range(4)]


def test_two_imports_never_put_what_is_refused_into_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    first.write_text("first")
    second.write_text("second")
    kept: list[Path] = []
    replaced = Path.replace

    def meanwhile(self: Path, target: Path) -> Path:
        if self == first:
            kept.append(pools._kept("pool", second))  # another process, at the same moment
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    kept.append(pools._kept("pool", first))
    assert [path.read_text() for path in kept] == ["second", "first"]
