"""Ctrl-C: under every executor a run ends at once, whatever is in hand, and goes on from there."""

from pathlib import Path

import pytest

from benchmarks.nodes import SPEC, outcome, records, scores
from benchmarks.stopping import EXECUTORS, SAMPLES, SLOW, stopped
from core import jobs, pools, runs


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
