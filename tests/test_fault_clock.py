"""A clock that is set back or forward: no order, no duration and no running job depends on it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from calls import jsonl, rows

from core import config, files, jobs, pools, runs, store
from core.domain import RunSpec
from core.progress import Progress
from core.store import runs as stored

HOUR = 3600.0
SPEC = RunSpec("pool", "perplexity", model="fake", device="cpu")


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = jsonl(tmp_path / "pool.jsonl", rows(20))
    pools.import_files([path], "pool")
    return path


def jump(patch: pytest.MonkeyPatch, by_s: float) -> None:
    """Set the clock, and with it the time of the boot, which the system works out from it."""
    now, boot, begun = time.time, psutil.boot_time, psutil.Process.create_time
    patch.setattr(time, "time", lambda: now() + by_s)
    patch.setattr(psutil, "boot_time", lambda: boot() + by_s)
    patch.setattr(psutil.Process, "create_time", lambda self: begun(self) + by_s)


@pytest.mark.parametrize("by_s", [-HOUR, HOUR, 400 * 24 * HOUR])
def test_a_running_job_runs_whatever_the_clock_says(
    by_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config.folder("runs") / "job" / "status.json"
    path.parent.mkdir()
    facts = {"state": "running", "pid": os.getpid(), "started": jobs.own_start()}
    path.write_text(json.dumps(facts))
    jump(monkeypatch, by_s)
    assert [job.state for job in jobs.every()] == ["running"]
    assert jobs.own_start() == facts["started"]


def test_a_process_of_another_boot_is_not_the_one_that_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boot").write_text("another\n")
    facts = {"state": "running", "pid": os.getpid(), "started": jobs.own_start()}
    assert jobs.state_of(facts) == "running"
    monkeypatch.setattr(jobs, "BOOT", tmp_path / "boot")
    assert jobs.state_of(facts) == "stopped"


@pytest.mark.parametrize("by_s", [-HOUR, HOUR])
def test_a_run_has_its_id_and_a_duration_whatever_the_clock_does(
    by_s: float, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runs.execute(SPEC).run
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", iter_of_jumps(now, by_s))
        again = runs.execute(SPEC)
        other = runs.execute(RunSpec("pool", "length", model="fake", device="cpu")).run
    assert (again.reused, again.run.run_id) == (True, first.run_id)
    assert 0 <= other.seconds < HOUR / 2


def iter_of_jumps(now: Any, by_s: float) -> Any:
    """A clock that jumps each time it is read."""
    seen = [0]

    def told() -> float:
        seen[0] += 1
        return float(now() + by_s * seen[0])

    return told


def test_a_rate_and_the_time_left_do_not_know_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress(quiet=True).stage("step", 100, "samples") as stage:
        monkeypatch.setattr(time, "time", iter_of_jumps(time.time, -HOUR))
        stage.advance(50)
        assert stage.rate() > 0
        assert 0 <= (stage.left_s() or 0.0) < HOUR / 2


def test_what_was_stored_last_is_the_newest_even_if_the_clock_was_ahead(pool: Path) -> None:
    early = runs.execute(SPEC).run
    with store.connect(write=True) as con:
        con.execute("UPDATE runs SET created_at = '2099-01-01'")
    late = runs.execute(RunSpec("pool", "perplexity", {"order": "low"}, "fake", "cpu")).run
    with store.connect() as con:
        assert stored.newest_run(con, "pool", "perplexity") == late != early


def test_no_clock_makes_the_file_of_a_living_import_old(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = config.folder("spool")
    here, dead = files.owner().split("-")[0], psutil.pids()[-1] + 2_000_000
    living, left = (
        spool / f"import-{files.owner()}.parquet",
        spool / f"import-{here}-{dead}.parquet",
    )
    for path in (living, left):
        path.touch()
    monkeypatch.setattr(time, "time", iter_of_jumps(time.time, 30 * 24 * HOUR))
    pools._sweep(spool)
    assert living.exists()
    assert not left.exists()
