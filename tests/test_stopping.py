"""A run that is stopped ends at once, whatever is in hand and under every executor, and goes on
from there.
"""

import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.nodes import SPEC, outcome, records, scores
from benchmarks.stopping import EXECUTORS, SAMPLES, SLOW, command, family, left, started, stopped
from core import config, jobs, pools, runs

GONE_S = 30.0  # Ray's agents alone would be there for a minute


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ctrl_c_waits_for_no_block_and_leaves_no_process(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: list[str]
) -> None:
    pool = records(tmp_path / "pool.json", SAMPLES)
    right = outcome(pool).scores
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "stopped"))
    pools.import_files([pool], "pool")
    seconds, code, n_left = stopped(executor)
    report.append(f"Ctrl-C, {executor}: {seconds:.1f} s")
    assert (code, n_left) == (130, 0)
    assert seconds < 20 * float(SLOW["SFTLENS_FAKE_DELAY_S"])  # a block has more samples
    assert [job.state for job in jobs.every()] == ["stopped"]
    assert scores(runs.execute(SPEC).run) == right


@pytest.mark.skipif("ray" not in EXECUTORS, reason='needs pip install "sftlens[ray]"')
def test_a_killed_run_leaves_no_process_of_its_cluster_and_the_next_call_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = records(tmp_path / "pool.json", SAMPLES)
    right = outcome(pool).scores
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "killed"))
    pools.import_files([pool], "pool")
    process = started("ray")
    them = family(process.pid)
    assert len(them) > 5
    process.kill()
    process.wait()
    deadline = time.monotonic() + GONE_S
    while left(them) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [" ".join(p.cmdline())[:99] for p in left(them)]
    done = subprocess.run(command("ray"), cwd=config.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("error")) == (0, 0)
    assert runs.execute(SPEC).reused
    assert scores(runs.execute(SPEC).run) == right
