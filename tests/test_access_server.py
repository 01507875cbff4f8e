"""How the app is reached, what it tells of its health, and what its log lines look like."""

import http.client
import json
import logging
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from calls import ended, python, sftlens, wait_until
from click.testing import CliRunner

from core import access, app_server, config, logs, pools, store
from core.cli import cli
from core.errors import ConfigError
from core.store.look import look

HOLD = """import duckdb, sys, time
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(600)"""


@pytest.mark.attack(line="loopback")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_addresses_of_this_machine_alone_are_known(host: str) -> None:
    assert app_server.is_loopback(host)


@pytest.mark.attack(line="loopback")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.evil"])
def test_other_addresses_are_open_to_others(host: str) -> None:
    assert not app_server.is_loopback(host)


@pytest.mark.attack(line="loopback")
def test_streamlit_alone_binds_to_loopback_too() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "streamlit", "config", "show"],
        cwd=config.ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert '\naddress = "127.0.0.1"' in shown.stdout


class Nothing:
    url = "http://there"

    def wait(self) -> None:
        """It ends at once."""


@pytest.mark.attack(line="loopback")
@pytest.mark.parametrize(
    ("words", "alone", "warned"),
    [
        ([], True, False),
        (["--host", "localhost"], True, False),
        (["--host", "0.0.0.0"], False, True),
        (["--host", "10.0.0.1"], False, True),
        (["--host", "0.0.0.0", "--read-only"], False, False),
        (["--host", "0.0.0.0", "--auth", "roles.toml"], False, False),
    ],
)
def test_an_app_that_others_can_change_is_warned_of_in_one_line(
    words: list[str], alone: bool, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_server, "start", lambda *_: Nothing())
    (tmp_path / "roles.toml").write_text('[roles]\n"@a.b" = "viewer"\n', "utf8")
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(cli, ["app", *words], catch_exceptions=False).stderr.splitlines()
    assert ("this machine alone can reach it" in said[0]) == alone
    assert [line for line in said if "add --read-only or --auth" in line] == said[1:]
    assert len(said) == 1 + warned


def test_what_the_app_is_told_is_checked_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--allow"):
        app_server.settings(allow=[tmp_path / "no"])
    with pytest.raises(ConfigError, match="cannot be read"):
        app_server.settings(auth=tmp_path / "no.toml")
    assert app_server.settings(read_only=True)[access.READ_ONLY] == "1"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "cache"


@pytest.fixture(scope="module")
def served(cache: Path) -> Iterator[app_server.Server]:
    """One app for all questions about its health."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(cache))
        patch.setenv("STREAMLIT_SERVER_ADDRESS", "0.0.0.0")  # it is not what is asked for
        patch.setenv("SFTLENS_HOSTS", "app.example.org, other.example.org")
        server = app_server.start(8720, told=app_server.settings(read_only=True))
    yield server
    server.process.terminate()
    server.process.wait()


def health(server: app_server.Server) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_health_follows_the_store_and_tells_no_path(
    served: app_server.Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_CACHE", str(cache))
    assert health(served) == (200, {"status": "ok", "store": "none"})
    with store.connect(write=True):
        pass
    wait_until(lambda: health(served) == (200, {"status": "ok", "store": "ready"}))
    config.store_path().write_bytes(b"no store at all" * 1000)
    wait_until(lambda: health(served) == (503, {"status": "failing", "store": "damaged"}))
    with urllib.request.urlopen(f"{served.url}/_stcore/health", timeout=60) as answer:
        assert answer.read() == b"ok"


@pytest.mark.attack(line="loopback")
def test_the_app_is_on_loopback_alone(served: app_server.Server) -> None:
    port = int(served.url.rpartition(":")[2])
    own = psutil.Process(served.process.pid).net_connections("inet")
    heard = {c.laddr.ip for c in own if c.status == psutil.CONN_LISTEN}
    assert heard == {"127.0.0.1"}
    others = {i[4][0] for i in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            probe.settimeout(5)
            assert probe.connect_ex((address, port)) != 0, address


def asked(server: app_server.Server, path: str, **headers: str) -> int:
    """The status of what a browser would ask for, with these headers."""
    at = server.url.removeprefix("http://")
    connection = http.client.HTTPConnection(at, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": at} | headers)
        return connection.getresponse().status
    finally:
        connection.close()


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "MTIzNDU2Nzg5MDEyMzQ1Ng==",
    "Sec-WebSocket-Version": "13",
}


@pytest.mark.attack(line="loopback")
@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil"])
def test_a_page_that_gives_its_own_name_this_address_reaches_nothing(
    served: app_server.Server, name: str
) -> None:
    """DNS rebinding: to the browser the app is then that page's own server."""
    port = served.url.rpartition(":")[2]
    here, there = f"127.0.0.1:{port}", f"{name}:{port}"
    stream = "/_stcore/stream"
    for path in ("/", "/healthz", "/_stcore/health", "/media/x"):
        assert asked(served, path, Host=there) == 400, path
    assert asked(served, stream, **UPGRADE, Host=there, Origin=f"http://{there}") == 400
    # a page elsewhere that asks the app by its true address
    assert asked(served, stream, **UPGRADE, Origin=f"http://{there}") == 403
    assert asked(served, stream, **UPGRADE, Origin=f"http://{here}") == 101
    for own in (f"localhost:{port}", "app.example.org"):  # the name that a proxy goes by
        assert asked(served, "/", Host=own) == 200


def test_a_store_is_told_apart_from_none_a_newer_one_and_a_held_one(tmp_path: Path) -> None:
    assert look(config.store_path()).state == "none"
    with store.connect(write=True) as con:
        con.execute("CREATE TABLE x (a INTEGER)")
    assert look(config.store_path()).state == "ready"
    holder = python("-c", HOLD, str(config.store_path()))
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        found = look(config.store_path())
        assert (found.state, found.holder) == ("busy", holder.pid)
    finally:
        holder.kill()
        ended(holder)
    with store.connect(write=True) as con:
        con.execute("DELETE FROM migrations WHERE number > 1")
    assert look(config.store_path()).state == "older"
    with store.connect(write=True, path=tmp_path / "new.duckdb") as con:
        con.execute("INSERT INTO migrations VALUES (999, 'later', now())")
    assert look(tmp_path / "new.duckdb").state == "newer"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_log_line_is_one_json_object_whatever_is_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.FORMAT, "json")
    log = logging.Logger("a.b")
    log.addHandler(logs.handler())
    log.warning("two\nlines %s", '{"level": "x"}\u2028\ud800')
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("it broke")
    first, second = lines(capsys)
    assert set(first) == {"time", "level", "name", "message"}
    assert (first["level"], first["name"]) == ("warning", "a.b")
    assert first["message"] == 'two\nlines {"level": "x"}\u2028\ud800'
    assert "ZeroDivisionError" in second["error"]


SECRET = "s3cr3t-v4lue"


@pytest.mark.attack(line="secrets")
@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"GET /oauth2callback?code={SECRET}&state={SECRET}",
        f"client_secret={SECRET}",
        f'{{"access_token": "{SECRET}"}}',
        f"password: {SECRET}",
        f"http://ann:{SECRET}@127.0.0.1:8080 does not answer",
        f"nothing says that {SECRET} is one, but SOME_TOKEN",
        f"nothing says that {SECRET} is one, but SFTLENS_ANSWERS_KEY",
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_a_log_line(
    text: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "nothing" in text:
        monkeypatch.setenv(text.rpartition(" ")[2], SECRET)
    monkeypatch.setenv(logs.FORMAT, form)
    record = logging.LogRecord("a", logging.ERROR, "", 0, "%s", (text,), None)
    line = logs.handler().format(record)
    assert SECRET not in line
    assert logs.STRUCK in line


def test_a_command_in_json_says_nothing_else_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "toy.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n', "utf8")
    good = sftlens("--log-format", "json", "import", path, "--yes")
    bad = sftlens("score", "nope", "perplexity", SFTLENS_LOG="json")
    assert (good.returncode, bad.returncode) == (0, 2)
    told = [json.loads(line) for line in (good.stderr + bad.stderr).splitlines()]
    assert all({"time", "level", "name", "message"} <= set(line) for line in told)
    assert told[-1]["level"] == "error"
    assert told[-1]["message"].startswith("error: nope: ")
    assert pools.import_files([path], "again")[0].imported == 1
