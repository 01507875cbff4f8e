"""Scoring a pool: the same again is free, and no kill, lock or order of samples changes a score."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import FAKE, METHOD, ended, jsonl, kill, parts, python, rows, start, wait_until

from core import blocks, config, jobs, pools, rescoring, runs, store
from core.domain import RunSpec, Sample
from core.errors import MethodError, PoolError, RunError
from core.store import runs as stored
from core.store import views

N = 150  # samples of about 15 words: four blocks of the fake engine a checkpoint
SPEC = RunSpec("pool", METHOD, model="fake", device="cpu")
SLOW = {"SFTLENS_FAKE_DELAY_S": "0.01"}  # a third of a second a block
SCORE = ("score", "pool", METHOD, *FAKE)


def make(name: str, records: list[Any]) -> Path:
    path = jsonl(config.cache_dir().parent / f"{name}.jsonl", records)
    pools.import_files([path], name)
    return path


def run_of(pool: str = "pool", **params: Any) -> stored.Run:
    return runs.execute(RunSpec(pool, METHOD, params, model="fake", device="cpu")).run


def table(run: stored.Run) -> dict[str, tuple[Any, ...]]:
    """Everything that is stored of each sample, by id."""
    with store.connect() as con:
        frame = con.execute(f"SELECT * EXCLUDE position FROM run_{run.run_id}").fetchall()
        ids = con.execute(f"SELECT sample_id FROM run_{run.run_id}").fetchall()
    return {sample_id: row for (sample_id,), row in zip(ids, frame, strict=True)}


def runs_in_store() -> list[str]:
    with store.connect() as con:
        return list(views.runs(con)["run_id"])


def newest() -> stored.Run:
    with store.connect() as con:
        return stored.newest_run(con, "pool", METHOD)


def measured_by_folder() -> list[list[str]]:
    """Sample ids that the parts of each block folder hold, with repetitions."""
    found: dict[Path, list[str]] = {}
    for path in parts():
        with np.load(path) as archive:
            found.setdefault(path.parent, []).extend(archive["ids"].astype(str).tolist())
    return [found[folder] for folder in sorted(found)]


@pytest.fixture
def other_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def move(name: str) -> None:
        monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / name))

    return move


@pytest.fixture
def slow_score() -> Iterator[Callable[..., Any]]:
    """Starts a slow `sftlens score`; whatever still runs at the end is killed."""
    started = []

    def begin(*words: str, **env: str) -> Any:
        started.append(start(*SCORE, *words, **(SLOW | env)))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            kill(process)


def test_every_sample_has_a_stored_score_or_a_reason() -> None:
    make("pool", [*rows(N), {"instruction": "too long", "output": "word " * 100}])
    run = runs.execute(RunSpec("pool", METHOD, model="fake", device="cpu", max_tokens=90)).run
    with store.connect() as con:
        frame = con.execute(f"SELECT position, value, reason FROM run_{run.run_id}").fetchall()
    assert [position for position, _, _ in frame] == list(range(N + 1))
    assert all((value is None) != (reason is None) for _, value, reason in frame)
    assert sum(value is not None for _, value, _ in frame) == run.n_scored < run.n == N + 1
    assert frame[-1][2] == "longer than the token limit"


def test_the_same_spec_again_is_free() -> None:
    make("pool", rows(N))
    first, before = runs.execute(SPEC), parts()
    again = runs.execute(SPEC)
    assert (first.reused, again.reused) == (False, True)
    assert again.run == first.run
    assert parts() == before
    assert runs_in_store() == [first.run.run_id]
    spelt_out = runs.execute(RunSpec("pool", METHOD, {"seed": "42"}, model="fake", device="cpu"))
    assert spelt_out.reused  # a default that is given is the same run


def test_the_order_of_the_pool_changes_no_score() -> None:
    records = rows(N)
    make("pool", records)
    make("turned", records[::-1])
    assert table(run_of("pool")) == table(run_of("turned"))


def test_a_grown_pool_measures_only_what_is_new() -> None:
    make("pool", rows(N))
    run_of()
    before = parts()
    [base] = [f for f in measured_by_folder() if len(f) == N][:1]
    assert len(base) == len(set(base)) == N
    make("pool", rows(N + 40))
    grown = run_of()
    assert grown.n == N + 40
    assert before.items() <= parts().items()  # nothing was written again
    folders = measured_by_folder()
    assert all(len(ids) == len(set(ids)) for ids in folders)
    # the base model measures the 40 new ones; the warm-up of the grown pool is another model
    assert sorted(map(len, folders)) == [N, N + 40, N + 40]


def test_two_pools_share_the_parts_of_what_they_share() -> None:
    make("pool", rows(N))
    make("same", rows(N))
    run_of("pool")
    before = parts()
    same = run_of("same")
    assert parts() == before
    with store.connect() as con:
        assert stored.newest_run(con, "same", METHOD) == same  # a run of its own
    assert table(same) == table(newest())
    make("half", rows(N // 2))
    run_of("half", warm_up_fraction=1.0)
    assert before.items() <= parts().items()
    assert sorted(map(len, measured_by_folder())) == [N // 2, N, N]  # base is not measured again


def test_the_second_scorer_of_a_pool_is_told_and_the_first_finishes(slow_score: Any) -> None:
    make("pool", rows(N))
    make("other", rows(N, start=1000))
    first = slow_score()
    wait_until(parts, first)
    second = start(*SCORE, "--set", "seed=7")
    code, out, err = ended(second)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith(f"error: pool: is being scored by process {first.pid} (measuring ")
    assert line.endswith("stop it; what it measured is kept.")
    assert run_of("other").n_scored  # another pool does not wait
    assert ended(first)[0] == 0
    assert run_of(seed=7).n_scored


def test_a_run_killed_at_three_moments_is_the_undisturbed_run(
    slow_score: Any, other_cache: Callable[[str], None]
) -> None:
    other_cache("undisturbed")
    make("pool", rows(N))
    undisturbed = table(run_of())
    total = len(parts())
    other_cache("killed")
    make("pool", rows(N))
    before: dict[Path, int] = {}
    for moment in (1, total // 2, total - 1):
        process = slow_score()
        wait_until(lambda moment=moment: len(parts()) >= moment, process)
        kill(process)
        assert before.items() <= parts().items()  # every part is kept and none measured again
        before = parts()
        assert len(before) < total
        [job] = jobs.every()
        assert job.state == "stopped"
        assert runs_in_store() == []
    last = start(*SCORE)
    code, _, err = ended(last)
    assert code == 0, err
    assert before.items() <= parts().items()
    assert len(parts()) == total
    held = {len(ids) for ids in measured_by_folder()}
    assert held == {N}
    assert f"base: {N} of {N} samples reused, 0 to measure" in err
    assert "calibrated: " in err
    assert table(newest()) == undisturbed
    assert not list(config.cache_dir().rglob("*.part"))


def test_a_resumed_run_counts_what_it_reuses(slow_score: Any) -> None:
    make("pool", rows(N))
    process = slow_score()
    wait_until(lambda: len(parts()) >= 2, process)
    kill(process)
    held = sum(map(len, measured_by_folder()))
    _, _, err = ended(start(*SCORE))
    assert f"base: {held} of {N} samples reused, {N - held} to measure" in err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_run_at_once_and_the_next_call_goes_on(
    slow_score: Any, sent: signal.Signals
) -> None:
    make("pool", rows(N))
    process = slow_score()
    wait_until(parts, process)
    before = parts()
    began = time.monotonic()
    process.send_signal(sent)
    code, out, err = ended(process)
    assert time.monotonic() - began < 3
    assert (code, out) == (130, "")
    last = err.splitlines()[-1]
    assert last == "stopped; what was measured is kept, and the same command goes on from there"
    assert "Traceback" not in err
    [job] = jobs.every()
    assert (job.state, job.sentence()) == ("stopped", "stopped; the next call goes on where it was")
    assert run_of().n_scored
    assert before.items() <= parts().items()
    [job] = jobs.every()
    assert job.state == "done"


def test_jobs_tell_how_each_ended_newest_first(
    slow_score: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("pool", rows(N))
    assert jobs.every() == []
    run_of(seed=1)

    def breaks(*_: Any) -> None:
        raise RunError("here", "it broke")

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "gather", breaks)
        with pytest.raises(RunError):
            run_of(seed=2)
    killed = slow_score("--set", "seed=3")
    wait_until(lambda: jobs.every()[0].facts["spec"]["params"] == {"seed": "3"}, killed)
    wait_until(lambda: jobs.every()[0].facts.get("total"), killed)
    kill(killed)
    going_on = slow_score("--set", "seed=4")
    wait_until(lambda: jobs.every()[0].facts["spec"]["params"] == {"seed": "4"}, going_on)
    wait_until(lambda: jobs.every()[0].facts.get("total"), going_on)
    states = {str(job.facts["spec"]["params"]["seed"]): job for job in jobs.every()}
    assert {seed: job.state for seed, job in states.items()} == {
        "1": "done",
        "2": "failed",
        "3": "stopped",
        "4": "running",
    }
    assert states["1"].sentence().startswith(f"scored {N - 2 * (N // 10)} of {N} samples in")
    assert states["2"].sentence() == "here: it broke."
    assert states["4"].sentence().startswith("measuring ")
    assert next(iter(jobs.every())).state == "running"


def test_a_process_number_that_was_given_away_is_not_a_running_job() -> None:
    path = config.folder("runs") / "job" / "status.json"
    path.parent.mkdir()
    for started, state in ((jobs.own_start(), "running"), (1.0, "stopped"), (None, "stopped")):
        path.write_text(json.dumps({"state": "running", "pid": os.getpid(), "started": started}))
        assert [job.state for job in jobs.every()] == [state]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"'])
def test_a_broken_status_file_is_no_job(content: str) -> None:
    path = config.folder("runs") / "job" / "status.json"
    path.parent.mkdir()
    path.write_text(content)
    assert jobs.every() == []


def test_a_launched_job_runs_by_itself_and_finishes() -> None:
    make("pool", rows(N))
    spec = RunSpec("pool", METHOD, {"seed": 5, "exclude_warm_up": True}, "fake", "cpu")
    job_id = runs.launch(spec)
    assert [(j.job_id, j.state) for j in jobs.every()] == [(job_id, "running")]
    wait_until(lambda: jobs.every()[0].state != "running")
    [job] = jobs.every()
    assert (job.job_id, job.state) == (job_id, "done"), jobs.log_tail(job_id)
    wait_until(lambda: job.facts["run_id"] in jobs.log_tail(job_id))
    assert runs.execute(spec).reused


def test_launching_what_is_running_joins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make("pool", rows(N))
    monkeypatch.setenv("SFTLENS_FAKE_DELAY_S", SLOW["SFTLENS_FAKE_DELAY_S"])
    job_id = runs.launch(SPEC)
    wait_until(parts)
    [before] = jobs.every()
    assert runs.launch(SPEC) == job_id
    [after] = jobs.every()
    assert after.facts["pid"] == before.facts["pid"]
    jobs.stop(job_id)
    wait_until(lambda: jobs.every()[0].state != "running")
    [job] = jobs.every()
    assert (job.state, job.sentence()) == ("stopped", "stopped; the next call goes on where it was")
    assert "Traceback" not in jobs.log_tail(job_id)


def test_a_launched_job_that_is_refused_says_why(slow_score: Any) -> None:
    make("pool", rows(N))
    first = slow_score()
    wait_until(parts, first)
    job_id = runs.launch(RunSpec("pool", METHOD, {"seed": 7}, "fake", "cpu"))
    wait_until(lambda: {j.job_id: j.state for j in jobs.every()}[job_id] != "running")
    job = {j.job_id: j for j in jobs.every()}[job_id]
    assert job.state == "failed"
    assert "is being scored by" in job.sentence()
    assert ended(first)[0] == 0


def test_a_launch_of_what_cannot_be_is_refused_before_a_process_starts() -> None:
    with pytest.raises(MethodError):
        runs.launch(RunSpec("pool", METHOD, {"seed": -1}))
    assert jobs.every() == []


def test_stopping_a_job_that_is_not_running_does_nothing() -> None:
    make("pool", rows(5))
    run_of()
    [job] = jobs.every()
    jobs.stop(job.job_id)
    jobs.stop("unknown")
    assert jobs.log_tail(job.job_id) == ""
    assert jobs.every() == [job]


def test_a_query_set_or_an_unknown_pool_cannot_be_scored() -> None:
    path = jsonl(config.cache_dir().parent / "q.jsonl", rows(3))
    pools.import_files([path], "q", "query")
    with pytest.raises(PoolError, match="is a query set"):
        run_of("q")
    with pytest.raises(PoolError, match="Use one of: q"):
        run_of("pool")
    assert jobs.every() == []


def test_rescoring_under_live_knobs_equals_a_new_run() -> None:
    make("pool", rows(N))
    run = run_of()
    with store.connect() as con:
        columns = stored.run_columns(con, run.run_id)
    live = {"trim_low": 0.3, "trim_high": 0.0, "min_tokens": 6, "exclude_warm_up": True}
    fast = rescoring.rescore(run, columns, live)
    slow = run_of(**live)
    with store.connect() as con:
        np.testing.assert_array_equal(stored.run_columns(con, slow.run_id)["value"], fast.value)
    np.testing.assert_array_equal(rescoring.rescore(run, columns, {}).value, columns["value"])


def test_rescoring_refuses_knobs_that_need_a_model() -> None:
    make("pool", rows(20))
    run = run_of()
    with store.connect() as con:
        columns = stored.run_columns(con, run.run_id)
    with pytest.raises(RunError, match=r"Score again: sftlens score pool .* --set seed=7"):
        rescoring.rescore(run, columns, {"seed": 7})
    with pytest.raises(MethodError):
        rescoring.rescore(run, columns, {"trim_low": 2})


SMALL_BLOCKS = """
from core import cli
from core.engines import hf
hf.BLOCK_TOKENS = {"cpu": 400, "cuda": 400}  # a few blocks of a small pool
cli.main()
"""


@pytest.mark.model
@pytest.mark.usefixtures("embedded_cache")
def test_a_real_run_killed_at_three_moments_is_the_undisturbed_run(
    samples: list[Sample], tmp_path: Path
) -> None:
    records = [{"messages": [asdict(t) for t in s.turns]} for s in samples]
    driver = tmp_path / "driver.py"
    driver.write_text(SMALL_BLOCKS)
    warm_up = ("--set", "warm_up_fraction=0.1", "--set", "warm_up_epochs=2")
    command = (str(driver), "score", "pool", METHOD, *warm_up)
    env = {"PYTHONPATH": str(config.ROOT)}
    make("pool", records)
    assert ended(python(*command, **env))[0] == 0
    undisturbed, total = table(newest()), len(parts())
    assert total >= 6
    # Everything that was measured or tuned goes; the converted model stays.
    for path in ("blocks", "runs", "sftlens.duckdb"):
        (config.cache_dir() / path).rename(tmp_path / path)
    for path in (config.cache_dir() / "models").glob("calibrated-*"):
        path.rename(tmp_path / path.name)
    make("pool", records)

    def folders() -> int:
        return len({path.parent for path in parts()})

    def in_warm_up() -> bool:
        [job] = jobs.every()
        return job.facts.get("stage") == "warm-up" and job.facts["done"] > 0

    before: dict[Path, int] = {}
    for reached in (parts, in_warm_up, lambda: folders() == 2):
        process = python(*command, **env)
        wait_until(reached, process)
        kill(process)
        assert before.items() <= parts().items()
        before = parts()
        assert len(before) < total
    code, _, err = ended(python(*command, **env))
    assert code == 0, err
    assert " samples reused, " in err
    assert before.items() <= parts().items()
    assert table(newest()) == undisturbed


def test_the_command_that_is_advised_names_model_and_query_set() -> None:
    card = {"model": "fake", "query": {"name": "target"}}
    run = stored.Run("0" * 20, "pool", "", "gradient_similarity", {}, card, 0, 0, 0.0)
    with pytest.raises(RunError, match=r"--query target --model fake --set seed=7$"):
        rescoring.rescore(run, {}, {"seed": 7})
