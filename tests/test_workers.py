"""Workers: none is started for little, none outlives its parent, and a dead one costs its block."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from calls import (
    FAKE,
    METHOD,
    PATIENCE_S,
    ended,
    jsonl,
    kill,
    parts,
    python,
    rows,
    start,
    wait_until,
)

from core import config, jobs, pools, runs, store
from core.blocks import Block, Task, gather, planned
from core.domain import RunSpec, Sample
from core.engines.fake import FakeEngine
from core.errors import RunError
from core.executors.processes import Processes
from core.signals import TokenStats
from core.store import runs as stored

N = 150  # samples: four blocks of the fake engine a checkpoint
SPEC = RunSpec("pool", METHOD, model="fake", device="cpu")
SLOW = {"SFTLENS_FAKE_DELAY_S": "0.01"}
SCORE = ("score", "pool", METHOD, *FAKE, "--workers", "2")


def workers(pid: int | None = None) -> list[psutil.Process]:
    """Processes that measure for this one, or for another."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            found += [child] if "core.executors.worker" in child.cmdline() else []
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def make(n: int = N) -> None:
    pools.import_files([jsonl(config.cache_dir().parent / "pool.jsonl", rows(n))], "pool")


def scores() -> list[tuple[Any, ...]]:
    with store.connect() as con:
        run = stored.newest_run(con, "pool", METHOD)
        return con.execute(f"SELECT * FROM run_{run.run_id} ORDER BY position").fetchall()


@pytest.fixture
def right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What one process scores, in a cache of its own; this test's has the pool alone."""
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "serial"))
    make()
    runs.execute(SPEC)
    found = scores()
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "cache"))
    make()
    return found


@pytest.fixture
def begun() -> Iterator[Callable[[], Any]]:
    """Starts a slow run with two workers; it is killed at the end if it still runs."""
    started = []

    def begin() -> Any:
        started.append(start(*SCORE, **SLOW))
        wait_until(lambda: len(workers(started[-1].pid)) == 2, started[-1])
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            kill(process)


def small(samples: list[Sample], folder: Path, engine: Any = None) -> tuple[Task, list[Block]]:
    """A task and its blocks, a few samples each."""
    by_id = {s.sample_id: s for s in samples}
    engine = engine or FakeEngine()
    engine.block_tokens = 60
    task = Task(TokenStats(), engine, lambda ids: [by_id[i] for i in ids], folder, 4096)
    return task, planned(list(by_id), task.signal, task.engine, task.fetch)[0]


def test_a_run_killed_with_its_workers_leaves_none_and_is_resumed(
    right: list[Any], begun: Callable[[], Any]
) -> None:
    for measured in (1, 3):
        process = begun()
        wait_until(lambda n=measured: len(parts()) >= n, process)
        before, them = parts(), workers(process.pid)
        kill(process)
        wait_until(lambda them=them: gone(them))
        assert before.items() <= parts().items()
    before = parts()
    assert not list(config.cache_dir().rglob("*.part"))
    code, _, err = ended(start(*SCORE))
    assert code == 0, err
    assert before.items() <= parts().items()
    assert scores() == right


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_workers_too(
    right: list[Any], begun: Callable[[], Any], sent: signal.Signals
) -> None:
    process = begun()
    wait_until(parts, process)
    them = workers(process.pid)
    process.send_signal(sent)
    code, out, err = ended(process)
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert gone(them)
    [job] = jobs.every()
    assert job.state == "stopped"
    assert ended(start(*SCORE))[0] == 0
    assert scores() == right


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (signal.SIGKILL, "(signal 9); its block is measured again, with half as many tokens"),
        (signal.SIGTERM, "(signal 15); its block is measured again\n"),
    ],
)
def test_the_block_of_a_killed_worker_is_measured_by_another(
    sent: signal.Signals,
    said: str,
    samples: list[Sample],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SFTLENS_FAKE_DELAY_S", "0.05")
    task, blocks = small(samples, tmp_path / "parts")
    with Processes(2) as executor:
        going = executor.map(task, blocks)
        done = [next(going)]
        workers()[0].send_signal(sent)
        done += list(going)
    assert sorted(b.ids for b in done) == sorted(b.ids for b in blocks)
    assert f"a process that measures died {said}" in caplog.text
    alone = task.signal.measure(samples, FakeEngine(), 4096, {})
    found = gather(task.folder, [s.sample_id for s in samples])
    assert all((found[name] == alone[name]).all() for name in alone)


def test_a_block_that_kills_every_worker_is_one_sentence(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_FAKE_DELAY_S", "9")
    task, blocks = small(samples, tmp_path / "parts")
    over = threading.Event()

    def reap() -> None:
        while not over.is_set():
            for worker in workers():
                worker.kill()
            time.sleep(0.02)

    reaper = threading.Thread(target=reap)
    reaper.start()
    try:
        with Processes(2) as executor, pytest.raises(RunError) as caught:
            list(executor.map(task, blocks))
    finally:
        over.set()
        reaper.join()
    assert "died 3 times on the same block. Got 'signal 9'. If memory is short" in str(caught.value)
    assert not workers()


def test_what_a_worker_says_that_is_no_message_is_its_end(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text('print("a library says so", flush=True)\n')
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{config.ROOT}")
    task, blocks = small(samples, tmp_path / "parts")
    with Processes(2) as executor, pytest.raises(RunError, match="died 3 times"):
        list(executor.map(task, blocks))
    assert not workers()


def test_a_worker_that_has_no_memory_for_a_message_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "core.executors.worker", "0"],
        input=b"\x7f" * 8,  # of 9 exabytes, its head says
        cwd=config.ROOT,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"MemoryError" in ended.stderr


def test_an_executor_goes_on_after_an_idle_worker_died_and_after_a_caller_left(
    samples: list[Sample], tmp_path: Path
) -> None:
    with Processes(2) as executor:
        for number in range(3):
            task, blocks = small(samples, tmp_path / str(number))
            going = executor.map(task, blocks)
            next(going)
            if number == 0:
                going.close()  # type: ignore[attr-defined]
                assert not workers()
            else:
                assert len(list(going)) == len(blocks) - 1
                them = workers()
                them[0].kill()
                wait_until(lambda them=them: gone(them[:1]))
    assert not workers()


PAGE = """
import os, pathlib
import streamlit as st
from core import runs
from core.domain import RunSpec
from core.executors import opened

with pathlib.Path(os.environ["PAGE_LOG"]).open("a") as log:
    log.write("drawn\\n")
spec = RunSpec("pool", "differential_entropy", {"seed": os.environ["SEED"]}, "fake")
with opened("processes", 2) as executor:
    run = runs.execute(spec, None, executor).run
st.write(f"{run.n_scored} scored")
"""


def test_a_page_that_measures_is_not_run_again_by_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: list[Any]
) -> None:
    from streamlit.testing.v1 import AppTest

    page = tmp_path / "page.py"
    page.write_text(PAGE)
    log = tmp_path / "log.txt"
    monkeypatch.setenv("PAGE_LOG", str(log))
    monkeypatch.setenv("SEED", "42")
    at = AppTest.from_file(str(page), default_timeout=240).run()
    assert not at.exception
    assert at.markdown[0].value == f"{sum(value is not None for _, _, value, *_ in right)} scored"
    assert log.read_text() == "drawn\n"
    assert scores() == right
    before = parts()
    code, _, err = ended(python(str(page), PYTHONPATH=str(config.ROOT), SEED="7"))
    assert code == 0, err
    assert len(parts()) > len(before)
    assert log.read_text() == "drawn\n" * 2
