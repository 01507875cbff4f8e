"""Runs whose answers a server draws: their keys, their cards, what is kept and what is told."""

import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import FAKE, ended, jsonl, parts, rows, sftlens, start, wait_until
from endpoint_server import (
    QUICK,
    Body,
    Sent,
    Server,
    asks,
    completion,
    knows_n,
    refused,
    refuses_n,
    sent,
    serving,
    text,
)

from core import blocks, config, files, forecast, mapping, pools, rescoring, runs, store
from core.calibration import calibrate
from core.domain import RunSpec
from core.endpoints import Endpoint
from core.errors import EndpointError, MethodError, RunError
from core.executors import Serial
from core.executors.overlapped import enough
from core.progress import Progress
from core.store import pools as stored_pools
from core.store import runs as stored

METHOD, N = "answer_divergence", 30
SECRET = "sk-very-secret"
PARAMS: dict[str, Any] = {"k": 3, "max_new_tokens": 8, "bins": 4, "bin_vectors": "content"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        imported()
        yield found


def imported(n: int = N) -> None:
    """A pool in this test's cache."""
    pools.import_files([jsonl(config.cache_dir().parent / "pool.jsonl", rows(n))], "pool")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engines.endpoint.Patience", lambda: QUICK)


def spec(answers: Endpoint | None, **other: Any) -> RunSpec:
    return RunSpec("pool", METHOD, PARAMS, "fake", "cpu", answers=answers, **other)


def scored(answers: Endpoint | None, **other: Any) -> stored.Run:
    return runs.execute(spec(answers, **other), Progress(quiet=True)).run


def columns(run: stored.Run) -> dict[str, np.ndarray]:
    with store.connect() as con:
        return stored.run_columns(con, run.run_id)


def reasons(run: stored.Run) -> dict[str | None, int]:
    with store.connect() as con:
        found = con.execute(f"SELECT reason, count(*) FROM run_{run.run_id} GROUP BY 1").fetchall()
    return dict(found)


def drawn(run: stored.Run) -> dict[str, list[str]]:
    """Answers of a run by sample."""
    folder = config.folder("blocks") / run.card["parts"]["answers"]
    with store.connect() as con:
        ids = stored_pools.get_pool(con, "pool").sample_ids
    found = blocks.gather(folder, ids)["text"]
    return {i: [t.decode() for t in row] for i, row in zip(ids, found, strict=True)}


def test_a_run_has_the_answers_of_the_server_and_its_card_says_so(server: Server) -> None:
    run = scored(server.endpoint())
    assert run.n_scored == N
    assert run.card["answers"] == {"endpoint": server.url, "model": "org/small"}
    assert run.card["checkpoints"]["answers"]["name"] == "org/small"
    assert run.card["checkpoints"]["answers"]["revision"] == server.url
    assert run.card["checkpoints"]["vectors"]["name"] == "fake"
    right = {asks(b): [text(b, j) for j in range(3)] for b in server.about()}
    assert sorted(drawn(run).values()) == sorted(right.values())


def test_answers_of_different_sources_never_mix(server: Server) -> None:
    there = server.endpoint()
    with serving() as other:
        sources = [
            *(there, None, Endpoint(server.url, "org/large"), other.endpoint()),
            *(Endpoint(f"{server.url}/chat/completions", "org/small", 2),),
        ]
        found = [scored(source) for source in sources]
        assert len({run.run_id for run in found[:4]}) == 4
        for need in ("answers", "vectors"):
            assert len({run.card["parts"][need] for run in found[:4]}) == 4
        assert found[4].run_id == found[0].run_id  # neither wording nor concurrency matters
        assert len(other.about()) == N
    assert "answers" not in found[1].card
    other_length = scored(there, max_tokens=4000)
    assert other_length.card["parts"]["answers"] != found[0].card["parts"]["answers"]


def test_the_same_again_asks_nothing(server: Server) -> None:
    first = scored(server.endpoint())
    asked = len(server.bodies)
    again = runs.execute(spec(server.endpoint()))
    assert again.reused
    assert again.run.run_id == first.run_id
    assert len(server.bodies) == asked


def test_a_pool_that_grows_asks_only_for_what_is_new(server: Server) -> None:
    scored(server.endpoint())
    server.bodies.clear()
    pools.import_files([jsonl(config.cache_dir().parent / "more.jsonl", rows(4, N))], "pool")
    assert scored(server.endpoint()).n_scored == N + 4
    assert len(server.about()) == 4


def test_a_run_that_broke_goes_on_where_it_was(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("core.signals.ROUND_TOKENS", 1)  # blocks of 8
    left, lock = [60], threading.Lock()

    def breaks(body: Body) -> Sent:
        with lock:
            left[0] -= 1
            return refuses_n(body) if left[0] > 0 else refused(500, "out of memory")

    server.behave = breaks
    with pytest.raises(EndpointError, match="has a fault of its own"):
        scored(server.endpoint(at_once=1))
    kept = parts()
    server.behave = refuses_n
    server.bodies.clear()
    run = scored(server.endpoint(at_once=1))
    assert run.n_scored == N
    held = sum(len(np.load(path)["ids"]) for path in kept)
    assert 0 < held < N
    assert len(server.about()) == 3 * (N - held)
    found = drawn(run)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "undisturbed"))
    imported()
    assert found == drawn(scored(server.endpoint()))


def test_every_sample_has_a_score_or_its_own_reason(server: Server) -> None:
    def picky(body: Body) -> Sent:
        question = asks(body)
        if "steps of 2" in question:
            return refused(400, "maximum context length is 8 tokens")
        if "steps of 3" in question:
            return refused(422, "not this one")
        if "steps of 4" in question:
            return sent(completion(["", "", text(body)][: body["n"]]))
        return knows_n(body)

    server.behave = picky
    run = scored(server.endpoint())
    asked = [r["instruction"] for r in rows(N)]
    found = reasons(run)
    assert found == {
        None: sum(not any(f"steps of {k}" in a for k in (2, 3, 4)) for a in asked),
        "longer than the token limit": sum("steps of 2" in a for a in asked),
        "refused by the server": sum("steps of 3" in a for a in asked),
        "fewer answers with content than min_answers": sum("steps of 4" in a for a in asked),
    }
    assert sum(found.values()) == run.n == N
    assert columns(run)["refused"].sum() == found["refused by the server"]
    other = rescoring.rescore(run, columns(run), {"weight": 0.9})
    assert other.reasons().count("refused by the server") == found["refused by the server"]


def test_what_became_of_it_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    runs.execute(spec(server.endpoint()), Progress())
    said = capsys.readouterr().err
    assert f"answered {N} of {N} samples, all answers of a sample at once" in said


def test_parts_that_are_gone_are_drawn_again_from_the_same_source(server: Server) -> None:
    run = scored(server.endpoint())
    with store.connect() as con:
        pool = stored_pools.get_pool(con, "pool")
    first, usable = mapping._measured(
        pool, run, "vectors", Progress(quiet=True), Serial(), calibrate
    )
    assert usable.all()
    for path in parts():
        path.unlink()
    server.bodies.clear()
    again, _ = mapping._measured(pool, run, "vectors", Progress(quiet=True), Serial(), calibrate)
    assert len(server.about()) == N
    np.testing.assert_array_equal(again, first)


def test_the_command_that_scores_again_names_the_source(server: Server) -> None:
    run = scored(server.endpoint())
    with pytest.raises(RunError, match=f"--answers-endpoint {server.url} --answers-model org/sm"):
        rescoring.rescore(run, columns(run), {"k": 5})


def test_a_method_without_answers_refuses_a_server(server: Server) -> None:
    with pytest.raises(MethodError, match=r"length: draws no answers\. Leave out"):
        runs.execute(RunSpec("pool", "length", model="fake", answers=server.endpoint()))
    with pytest.raises(MethodError, match="draws no answers"):
        runs.launch(RunSpec("pool", "length", model="fake", answers=server.endpoint()))
    assert not server.bodies


def test_blocks_at_a_time_keep_the_server_busy() -> None:
    assert [enough(1, 16), enough(8, 16), enough(64, 16), enough(8, 64)] == [2, 2, 9, 2]


def words(server: Server, *more: object) -> list[object]:
    own = [w for k, v in PARAMS.items() for w in ("--set", f"{k}={v}")]
    return ["score", "pool", METHOD, *FAKE, *own, "--answers-endpoint", server.url, *more]


def test_the_command_line_scores_by_a_server_and_keeps_no_secret(server: Server) -> None:
    found = sftlens(*words(server), SFTLENS_ANSWERS_KEY=SECRET)
    assert found.returncode == 0, found.stderr
    assert f"{N} of {N} samples scored" in found.stdout
    assert {h["Authorization"] for h in server.headers} == {f"Bearer {SECRET}"}
    assert server.listed == 1  # the name of its only model
    kept = [p for p in config.cache_dir().rglob("*") if p.is_file()]
    assert not [p for p in kept if SECRET.encode() in p.read_bytes()]
    assert SECRET not in found.stdout + found.stderr


def test_a_dry_run_draws_nothing(server: Server) -> None:
    said = "\n".join(forecast.lines(forecast.forecast(spec(server.endpoint(model="")))))
    assert re.search(rf"measuring answers by org/small +{N} samples, time unknown", said)
    assert server.listed == 1
    assert not server.bodies
    scored(server.endpoint())
    again = forecast.forecast(spec(server.endpoint()))
    assert again.parts[0].run


def test_a_run_that_is_launched_asks_the_server(server: Server) -> None:
    job = runs.launch(spec(server.endpoint(at_once=3)))
    status = config.cache_dir() / "runs" / job / "status.json"
    wait_until(lambda: (files.read_json(status) or {}).get("state") == "done")
    assert len(server.about()) == N
    assert server.most <= 3
    assert runs.execute(spec(server.endpoint())).reused


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--answers-model", "m"), "--answers-model needs --answers-endpoint"),
        (("--answers-endpoint", f"http://u:{SECRET}@h/v1"), "holds a name, a password or a query"),
        (("--answers-endpoint", "http://127.0.0.1:1/v1"), "nobody listens there"),
        (("--answers-endpoint", "http://h/v1", "--answers-concurrency", 0), "1 to 1,024 requests"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(more: Any, said: str) -> None:
    imported(3)
    found = sftlens("score", "pool", METHOD, *FAKE, *more)
    assert found.returncode == 2
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert SECRET not in found.stderr
    kept = [p for p in config.cache_dir().rglob("*") if p.is_file()]
    assert not [p for p in kept if SECRET.encode() in p.read_bytes()]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_while_the_server_thinks_ends_and_goes_on(
    how: signal.Signals, server: Server, tmp_path: Path
) -> None:
    thinks = threading.Event()

    def slow(body: Body) -> Sent:
        if asks(body).startswith("Count"):
            thinks.wait(120)
        return knows_n(body)

    server.behave = slow
    process = start(*words(server))
    wait_until(lambda: len(server.about()) >= 8, process)
    process.send_signal(how)
    code, _, err = ended(process)  # long before the server has thought
    assert code == 130, err
    assert "the same command goes on from there" in err
    thinks.set()
    assert scored(server.endpoint()).n_scored == N
