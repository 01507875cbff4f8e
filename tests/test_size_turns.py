"""Many processes on one store: a writer gets its turn, and nobody is turned away."""

import threading
import time
from pathlib import Path

import pytest
from calls import kill, python

from benchmarks.together import together
from core import config, store
from core.errors import StoreError
from core.store import opening, turns

READ_ON = """
import time
from core import store
print("reading", flush=True)
while True:
    with store.connect() as con:
        con.execute("SELECT count(*) FROM pools").fetchone()
        time.sleep(0.02)
"""
WRITE_LONG = """
import sys, time
from core import store
with store.connect(write=True) as con:
    con.execute("INSERT INTO pools VALUES ('long', 'pool', '', 0, now())")
    print("writing", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _store() -> None:
    with store.connect(write=True):
        pass


def names() -> list[str]:
    with store.connect() as con:
        return [name for (name,) in con.execute("SELECT pool FROM pools ORDER BY 1").fetchall()]


def write(name: str) -> None:
    with store.connect(write=True) as con:
        con.execute("INSERT INTO pools VALUES (?, 'pool', '', 0, now())", [name])


def test_readers_that_never_end_together_let_a_writer_in() -> None:
    readers = [python("-c", READ_ON) for _ in range(3)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
        time.sleep(0.2)
        for k in range(4):
            write(str(k))
        assert names() == ["0", "1", "2", "3"]
        assert all(reader.poll() is None for reader in readers)
    finally:
        for reader in readers:
            kill(reader)


def test_who_reads_or_writes_waits_for_a_long_write_however_short_its_patience_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "WAIT_S", 0.05)
    writer = python("-c", WRITE_LONG, "1.5")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    assert names() == ["long"]
    write("then")
    assert names() == ["long", "then"]
    writer.communicate()


def test_a_killed_writer_leaves_its_turn() -> None:
    writer = python("-c", WRITE_LONG, "600")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    kill(writer)
    write("after")
    assert names() == ["after"]


def test_patience_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.1)
    writer = python("-c", WRITE_LONG, "600")
    assert writer.stdout is not None
    writer.stdout.readline()
    try:
        for asked in (names, lambda: write("x")):
            with pytest.raises(StoreError, match="has been writing for") as told:
                asked()
            assert "\n" not in str(told.value)
    finally:
        kill(writer)


def test_threads_of_one_process_write_one_after_the_other_while_others_read() -> None:
    failures: list[BaseException] = []

    def act(name: str) -> None:
        try:
            for k in range(5):
                names() if name.startswith("r") else write(f"{name}{k}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=act, args=(name,)) for name in ("r1", "r2", "a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names() == sorted(f"{name}{k}" for name in "ab" for k in range(5))


def test_who_reads_may_ask_again_while_a_writer_waits_for_it() -> None:
    with store.connect() as con:
        writer = python("-c", WRITE_LONG, "0")
        while not turns._taken(turns.beside(config.store_path(), turns.DOOR)):
            assert writer.poll() is None
        assert con.execute("SELECT count(*) FROM pools").fetchone() == (0,)
        assert names() == []
    writer.communicate()
    assert names() == ["long"]


def test_a_reader_needs_no_lock_file_and_makes_none() -> None:
    lock = turns.beside(config.store_path(), turns.DOOR)
    lock.unlink()
    assert names() == []
    assert not lock.exists()


def test_app_scorer_and_command_line_at_once_show_no_error_and_lose_no_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "together"))  # together moves it there
    done = together(tmp_path / "together", 5.0, 2_000, apps=1, bulk=13_000)
    assert done.errors == []
    assert done.made == done.found
    assert min(done.made.values()) >= 1
    assert len(done.reads) > 10
