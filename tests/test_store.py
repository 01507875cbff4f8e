"""The DuckDB file: migrations, locks between processes and threads, what goes in comes out."""

import threading
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from calls import ended, python

from core import config, store
from core.domain import Sample, Turn
from core.errors import ConfigError, PoolError, StoreError
from core.store import opening, pools, schema, views

HOLD = """
import sys, time, duckdb
con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
con.execute("SELECT 1" if sys.argv[2] == "read" else "CREATE TABLE held (a INTEGER)")
print("held", flush=True)
time.sleep(1)
con.close()
"""


def sample(text: str, answer: str = "yes") -> Sample:
    return Sample((Turn("user", text), Turn("assistant", answer)), "tests", record="{}")


def add(name: str, samples: list[Sample], kind: str = "pool") -> pools.Added:
    spool = config.folder("spool") / f"{threading.get_ident()}.parquet"
    pq.write_table(pools.arrow_batch(samples, 0), spool)
    with store.connect(write=True) as con:
        return pools.add_pool(con, name, kind, spool)  # type: ignore[arg-type]


def pool_names() -> list[str]:
    with store.connect() as con:
        return list(views.pools(con)["pool"])


def test_sources_are_counted_in_order_of_name() -> None:
    names = ["b", "é", "a", "b", "Z"]
    texts = [Turn("user", str(i)) for i in range(len(names))]
    add(
        "p",
        [Sample((text, Turn("assistant", "x")), s) for text, s in zip(texts, names, strict=True)],
    )
    with store.connect() as con:
        ids, codes, known = views.places(con, "p", 4)
        assert (list(known), len(ids), len(codes)) == (sorted(set(names)), 4, 4)
        assert [known[code] for code in codes] == names[:4]
        assert [i.decode() for i in ids] == list(pools.get_pool(con, "p").sample_ids[:4])


def test_an_empty_file_gets_every_step_once_and_in_order() -> None:
    for _ in range(2):
        with store.connect(write=True) as con:
            found = con.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
        assert [number for number, _ in found] == list(range(1, len(schema.MIGRATIONS) + 1))
        assert [name for _, name in found] == [step.__name__ for step in schema.MIGRATIONS]


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is() -> None:
    with store.connect(write=True) as con:
        con.execute("INSERT INTO migrations VALUES (99, 'later', now())")
    before = config.store_path().read_bytes()
    for write in (False, True):
        with (
            pytest.raises(StoreError, match=r"written by a newer SFTLens\. Got 'schema 99, this"),
            store.connect(write=write),
        ):
            pass
    assert config.store_path().read_bytes() == before


@pytest.mark.parametrize("steps", range(len(schema.MIGRATIONS)))
def test_a_reader_brings_an_older_store_up_to_date(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:steps])
        with store.connect(write=True) as con:
            assert schema.version(con) == steps
        if steps:
            add("old", [sample("kept")])
    with store.connect() as con:
        assert schema.version(con) == len(schema.MIGRATIONS)
    assert pool_names() == ["old"] * bool(steps)


def test_a_step_that_fails_leaves_the_version_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE half_made (a INTEGER)")
        con.execute("SELECT nothing FROM nowhere")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(duckdb.Error), store.connect(write=True):
            pass
    with store.connect() as con:
        assert schema.version(con) == len(schema.MIGRATIONS)
        assert not con.execute("FROM duckdb_tables() WHERE table_name = 'half_made'").fetchall()


def test_reading_without_a_store_says_what_to_do_and_makes_none() -> None:
    with pytest.raises(store.NoStoreError, match="Import a file, or run: sftlens demo"):
        pool_names()
    assert not config.store_path().exists()


@pytest.mark.parametrize("content", [b"", b"no database at all\n" * 400, b"\0" * 9000])
@pytest.mark.parametrize("write", [False, True])
def test_a_file_that_is_no_store_is_one_line(content: bytes, write: bool) -> None:
    config.cache_dir().mkdir()
    config.store_path().write_bytes(content)
    with (
        pytest.raises(StoreError, match="the store is damaged") as caught,
        store.connect(write=write),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert config.store_path().read_bytes() == content


@pytest.mark.parametrize(("held", "wanted"), [("read", True), ("write", False), ("write", True)])
def test_who_comes_second_waits_for_the_other_process(held: str, wanted: bool) -> None:
    add("one", [sample("a")])
    other = python("-c", HOLD, str(config.store_path()), held)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(duckdb.IOException, match="lock"):  # it is held, so there is a wait
        duckdb.connect(str(config.store_path()), read_only=not wanted)
    with store.connect(write=wanted) as con:
        assert pools.get_pool(con, "one").sample_ids
    assert ended(other)[0] == 0


def test_a_lock_that_never_goes_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "WAIT_S", 0.1)
    add("one", [sample("a")])
    other = python("-c", HOLD, str(config.store_path()), "write")
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(StoreError, match="locked for"), store.connect():
        pass
    assert ended(other)[0] == 0


def test_a_damaged_store_in_a_folder_of_blocks_is_not_taken_for_a_locked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "WAIT_S", 0.1)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "blocks"))
    config.cache_dir().mkdir()
    config.store_path().write_text("no database at all" * 400)
    with pytest.raises(StoreError, match="the store is damaged"):
        pool_names()


def test_threads_of_one_process_read_and_write_at_once() -> None:
    add("first", [sample("a")])
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(3):
                if number % 2:
                    add(f"pool-{number}", [sample(f"{number} {turn} {k}") for k in range(5)])
                else:
                    with store.connect() as con:
                        assert len(pools.get_pool(con, "first")) == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[k]) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.connect() as con:
        assert [len(pools.get_pool(con, f"pool-{k}")) for k in (1, 3, 5)] == [15, 15, 15]


def test_threads_may_make_the_store_together() -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            add(f"pool-{number}", [sample("a")])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[k]) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pool_names() == [f"pool-{k}" for k in range(4)]


@pytest.mark.parametrize("kind", [KeyError, RuntimeError, KeyboardInterrupt])
def test_a_body_that_fails_changes_nothing(kind: type[BaseException]) -> None:
    add("kept", [sample("a")])

    def body() -> None:
        with store.connect(write=True) as con:
            con.execute("UPDATE pools SET pool = 'changed'")
            raise kind  # an error made outside would keep the connection in its traceback

    with pytest.raises(kind):
        body()
    assert pool_names() == ["kept"]


def test_a_killed_writer_leaves_the_store_as_it_was() -> None:
    add("kept", [sample("a")])
    script = HOLD.replace("CREATE TABLE held (a INTEGER)", "BEGIN; UPDATE pools SET pool = 'x'")
    other = python("-c", script.replace("sleep(1)", "sleep(60)"), str(config.store_path()), "write")
    assert other.stdout is not None
    other.stdout.readline()
    other.kill()
    other.communicate()
    assert pool_names() == ["kept"]


def test_a_cache_that_is_a_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match="set SFTLENS_CACHE"), store.connect(write=True):
        pass


@pytest.mark.parametrize(("name", "neighbour"), [("a [1] b", "a 1 b"), ("a * b", "a c b")])
def test_a_cache_whose_name_looks_like_a_pattern_is_one_folder(
    name: str, neighbour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / neighbour))
    add("pool", [sample("a"), sample("b")])
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / name))
    assert add("pool", [sample("c")]).pool.sample_ids == (sample("c").sample_id,)


def test_two_pools_keep_their_samples_apart() -> None:
    both = [sample("a"), sample("b")]
    add("one", both)
    add("two", [*both[::-1], sample("c")])
    with store.connect() as con:
        one, two = pools.get_pool(con, "one"), pools.get_pool(con, "two")
        assert one.sample_ids == tuple(s.sample_id for s in both)
        assert two.sample_ids == tuple(s.sample_id for s in [*both[::-1], sample("c")])
        assert [s.instruction for s in pools.read_samples(con, "two", one.sample_ids)] == ["a", "b"]
        frame = views.pools(con).set_index("pool")
    assert frame["n"].to_dict() == {"one": 2, "two": 3}


def test_every_text_comes_back_as_it_was() -> None:
    texts = [
        "plain",
        "a NUL \0 inside\0",
        "\0",
        "emoji 👩‍👩‍👧 and 🎉",
        "ترجم: صباح الخير \u202e reversed",
        "line\u2028and\u2029paragraph\x85\x0b\x0c\r\n\ttab ",
        "'; DROP TABLE pools; --",
        '"quoted" \\ back',
        "e\u0301 is not \u00e9",
        "x" * 300_000,
    ]
    written = [
        Sample(
            (Turn("system", text), Turn("user", f"{text}!\n\n{text}"), Turn("assistant", text)),
            text[:200] or "tests",
            text,
            {text[:50]: text, "n": 3, "share": 0.5, "none": None},
            text,
        )
        for text in texts
    ]
    assert add("odd", written).imported == len(texts)
    with store.connect() as con:
        ids = pools.get_pool(con, "odd").sample_ids
        assert ids == tuple(s.sample_id for s in written)
        assert pools.read_samples(con, "odd", ids) == written


def test_samples_come_in_the_order_of_the_ids_asked_for() -> None:
    written = [sample(str(k)) for k in range(9)]
    add("pool", written)
    asked = [written[k] for k in (7, 0, 3)]
    with store.connect() as con:
        assert pools.read_samples(con, "pool", [s.sample_id for s in asked]) == asked


def test_the_fingerprint_depends_on_content_and_order() -> None:
    a, b, c = (sample(text) for text in "abc")
    orders = {"ab": [a, b], "ba": [b, a], "abc": [a, b, c], "aab": [a, a, b], "ac": [a, c]}
    prints = {name: add(name, samples).pool.fingerprint for name, samples in orders.items()}
    assert prints["aab"] == prints["ab"]  # a duplicate is no sample
    assert len(set(prints.values())) == 4


def test_the_fingerprint_of_a_grown_pool_is_that_of_one_import() -> None:
    a, b, c = (sample(text) for text in "abc")
    before = add("grown", [a, b]).pool.fingerprint
    grown = add("grown", [b, c]).pool
    assert grown.fingerprint == add("whole", [a, b, c]).pool.fingerprint != before
    with store.connect() as con:
        assert list(views.pool_rows(con, "grown")["sample_id"]) == list(grown.sample_ids)


def test_an_unknown_pool_is_a_sentence_that_lists_those_there_are() -> None:
    add("here", [sample("a")])
    with store.connect() as con, pytest.raises(PoolError, match="Use one of: here"):
        pools.get_pool(con, "there")


def test_ctrl_c_in_the_middle_of_a_question_is_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), store.connect(write=True):
        raise RuntimeError("Query interrupted")  # so DuckDB tells of it, whenever it looks
    with pytest.raises(RuntimeError, match="another"), store.connect(write=True):
        raise RuntimeError("another")
