"""The login in a real browser, with a provider on loopback; and what an app tells a stranger."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oidc
import pytest

from benchmarks import browser as chrome
from core import app_server, config, pools, runs, store
from core.domain import RunSpec
from core.store.reviews import reviews

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine"),
]
WAIT_MS = 120_000  # far more than it takes, so that a busy machine fails no test
SECRETS = (b"quagga", b"zebrapool", b"perplexity")
ROLES = '[roles]\n"ann@example.org" = "annotator"\n"@example.org" = "viewer"\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def asked(tmp_path: Path, log: Path) -> Iterator[tuple[str, oidc.Provider]]:
    """An app behind a login, and its provider."""
    path, allowed = tmp_path / "pool.jsonl", tmp_path / "roles.toml"
    rows = [{"instruction": f"Say quagga {i}", "output": "one " * (1 + i % 7)} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "zebrapool")
    runs.execute(RunSpec("zebrapool", "perplexity", model="fake"))
    allowed.write_text(ROLES, "utf8")
    told = app_server.settings(auth=allowed) | {"SFTLENS_LOG": "json"}
    saved = os.dup(2)
    with oidc.provider() as here, log.open("wb") as out:
        os.dup2(out.fileno(), 2)  # what the app says
        try:
            server = app_server.start(8760, told=told | here.environment())
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        yield server.url, here
        server.process.terminate()
        server.process.wait()


@pytest.fixture
def page() -> Iterator[Any]:
    with chrome.browser() as opened:
        context = opened.new_context(viewport={"width": 1280, "height": 1400})
        context.set_default_timeout(WAIT_MS)
        yield context.new_page()


def wire(page: Any) -> list[bytes]:
    """Everything that reaches the browser from now on."""
    got: list[bytes] = []

    def frame(payload: Any) -> None:
        got.append(payload if isinstance(payload, bytes) else str(payload).encode())

    page.on("websocket", lambda socket: socket.on("framereceived", frame))
    return got


def log_in(page: Any, here: oidc.Provider, **claims: object) -> None:
    here.claims = claims
    page.get_by_role("button", name="Log in", exact=True).click()


@pytest.mark.attack(line="roles")
def test_a_stranger_gets_a_login_and_no_data_and_the_known_get_their_role(
    asked: tuple[str, oidc.Provider], page: Any, log: Path
) -> None:
    url, here = asked
    got = wire(page)
    for path in ("", "/reader", "/export", "/runs", "/story"):
        page.goto(url + path)
        page.get_by_role("button", name="Log in", exact=True).wait_for()
    assert got
    assert not [secret for secret in SECRETS if secret in b"".join(got)]

    log_in(page, here, email="ann@example.org", email_verified=False)
    page.get_by_text("(not verified) has no access here").wait_for()
    page.get_by_role("button", name="Log in anew").click()
    log_in(page, here, email="eve@evil.example", email_verified=True)
    page.get_by_text("eve@evil.example has no access here").wait_for()
    assert not [secret for secret in SECRETS if secret in b"".join(got)]

    page.get_by_role("button", name="Log in anew").click()
    log_in(page, here, email="vic@example.org", email_verified=True)
    page.get_by_text("vic@example.org · viewer").wait_for()
    page.goto(f"{url}/reader")
    page.get_by_text("quagga").first.wait_for()
    assert page.get_by_role("button", name="Good").is_disabled()

    page.get_by_role("button", name="Log out").click()
    log_in(page, here, email="ann@example.org", email_verified=True)
    page.get_by_text("ann@example.org · annotator").wait_for()
    page.goto(f"{url}/reader")
    page.get_by_role("button", name="Good").click()
    page.get_by_text("Noted: good").wait_for()
    with store.connect() as con:
        assert reviews(con, "zebrapool")["reviewer"].tolist() == ["ann@example.org"]

    for line in log.read_text("utf8").splitlines():
        assert {"time", "level", "name", "message"} <= set(json.loads(line)), line
    for secret in (oidc.SECRET, oidc.COOKIE, "access-0123456789"):
        assert secret not in log.read_text("utf8")


def test_a_login_without_a_provider_is_one_line_and_no_app(tmp_path: Path) -> None:
    allowed = tmp_path / "roles.toml"
    allowed.write_text(ROLES, "utf8")
    ended = subprocess.run(
        [sys.executable, "-m", "pages.ui.serve", "app.py", "8790", "127.0.0.1"],
        cwd=config.ROOT,
        env=os.environ | {"SFTLENS_AUTH": str(allowed), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "error: --auth: the login has no provider." in ended.stderr
    assert "Traceback" not in ended.stderr
