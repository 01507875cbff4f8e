"""Attacks on secrets: a server that repeats the key, logs at their loudest, lists of processes."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from calls import FAKE, ended, jsonl, rows, sftlens, start, wait_until
from endpoint_server import QUICK, Body, Sent, Server, knows_n, refused, serving

from core import config, logs, pools
from core.domain import Sample, Turn
from core.engines import Sampling
from core.engines.endpoint import EndpointEngine
from core.errors import EndpointError
from core.progress import Progress

KEY = "Zq7secret-of-the-endpoint"
ASK = ("score", "toy", "answer_divergence", "--set", "k=2", "--set", "bins=4", *FAKE)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SFTLENS_ANSWERS_KEY", KEY)
    pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(12))], "toy")
    with serving() as found:
        yield found


def written() -> bytes:
    """All that the cache holds: store, journal, statuses, logs, blocks."""
    return b"".join(p.read_bytes() for p in config.cache_dir().rglob("*") if p.is_file())


@pytest.mark.attack(line="secrets")
def test_no_file_and_no_command_tells_the_key_of_a_server_that_repeats_it(
    server: Server, tmp_path: Path
) -> None:
    ask = (*ASK, "--answers-endpoint", server.url)
    server.behave = lambda body: refused(401, f"Wrong key {KEY}, header: Bearer {KEY}")
    bad = sftlens(*ask)
    assert bad.returncode == 2
    assert "does not take the key" in bad.stderr
    server.behave = knows_n
    good = sftlens(*ask)
    assert good.returncode == 0, good.stderr
    assert server.headers[-1]["Authorization"] == f"Bearer {KEY}"  # it was there to be told
    out = tmp_path / "out"
    chosen = ("select", "toy", "--method", "answer_divergence", "--budget", "5", "--out", out)
    more = [chosen, ("log",), ("status",), ("doctor",), ("log", "--act", "export")]
    said = [bad, good, *(sftlens(*words) for words in more)]
    told = "".join(run.stdout + run.stderr for run in said)
    assert server.url in (out / "manifest.json").read_text("utf8")
    for place in (told.encode(), written(), *(p.read_bytes() for p in out.iterdir())):
        assert KEY.encode() not in place


@pytest.mark.attack(line="secrets")
def test_no_list_of_processes_shows_the_key(server: Server) -> None:
    seen: list[str] = []

    def behave(body: Body) -> Sent:
        process = psutil.Process(run.pid)
        seen.extend(" ".join(p.cmdline()) for p in (process, *process.children(recursive=True)))
        return knows_n(body)

    server.behave = behave
    run = start(*ASK, "--answers-endpoint", server.url)
    wait_until(lambda: seen, run)
    assert ended(run)[0] == 0
    assert any("answer_divergence" in line for line in seen)
    assert not [line for line in seen if KEY in line]


@pytest.mark.attack(line="secrets")
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_loudest_log_has_no_key(
    server: Server, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.FORMAT, form)
    root = logging.getLogger()
    loud, before = logs.handler(), root.level
    root.addHandler(loud)
    root.setLevel(logging.DEBUG)
    server.behave = lambda body: refused(401, f"Wrong key {KEY}")
    engine = EndpointEngine(server.endpoint(), QUICK)
    try:
        with pytest.raises(EndpointError):
            engine.answers(
                [Sample((Turn("user", "Hi"), Turn("assistant", "x")), "t")],
                Sampling(2, 1.0, 0.9, 8, 1),
                4096,
            )
        try:
            raise RuntimeError(f"headers: {{'Authorization': 'Bearer {KEY}'}}")
        except RuntimeError:
            root.exception("it broke with %s", KEY)
    finally:
        engine.close()
        root.removeHandler(loud)
        root.setLevel(before)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "DEBUG" in said or "debug" in said or "connect" in said  # the loud ones were there
    assert KEY not in said


@pytest.mark.attack(line="secrets")
def test_a_status_that_the_app_shows_has_no_secret_of_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{KEY}@127.0.0.1:9")
    monkeypatch.setenv("SFTLENS_ANSWERS_KEY", KEY)
    told = Progress(tmp_path / "status.json")
    told.say(f"retrying with {KEY}")
    told.state("failed", message=f"a fault of SFTLens: ProxyError('http://ann:{KEY}@127.0.0.1:9')")
    assert KEY not in capsys.readouterr().err
    assert KEY not in (tmp_path / "status.json").read_text("utf8")
    assert "ProxyError" in json.loads((tmp_path / "status.json").read_text("utf8"))["message"]
