"""Sending an export to the hub, against a server on this machine that speaks its language."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from calls import sftlens

from core import files, hub
from core.errors import HubError


def exported(folder: Path) -> Path:
    """A small whole export: two files, and a manifest that names them."""
    folder.mkdir()
    (folder / "subset.jsonl").write_text('{"messages": []}\n', "utf8")
    (folder / "README.md").write_text("# card\n", "utf8")
    written = {n: files.digest(folder / n) for n in ("subset.jsonl", "README.md")}
    files.write_json(folder / "manifest.json", {"manifest": 1, "files": written})
    return folder


class Hub(BaseHTTPRequestHandler):
    """Enough of the hub to take one dataset; refuses a token that is not `good`."""

    seen: ClassVar[list[tuple[str, bytes]]] = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(404, {"error": "not here"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.path, body))
        if self.headers.get("Authorization") != "Bearer good":
            self._answer(401, {"error": "who are you"})
        elif self.path == "/api/repos/create":
            self._answer(200, {"url": f"{self.server.url}/datasets/me/mine", "id": "me/mine"})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular"} for f in asked]
            self._answer(200, {"files": [m | {"shouldIgnore": False} for m in modes]})
        elif "/commit/" in self.path:
            url = f"{self.server.url}/datasets/me/mine/commit/{'a' * 40}"
            self._answer(200, {"commitUrl": url, "commitOid": "a" * 40, "success": True})
        else:
            self._answer(404, {"error": self.path})

    def _answer(self, code, value):
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server():
    Hub.seen = []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.url = f"http://127.0.0.1:{made.server_address[1]}"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def push(folder, server, *words, token="good"):
    env = {"HF_ENDPOINT": server.url, "HF_TOKEN": token, "HF_HOME": str(folder.parent / "hf")}
    env |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    return sftlens("push", folder, "me/mine", *words, **env)


def sent(body: bytes) -> "dict[str, bytes]":
    """The files of a commit as the hub reads them: one JSON object a line."""
    lines = [json.loads(line) for line in body.decode().splitlines()]
    values = [line["value"] for line in lines if line["key"] == "file"]
    return {v["path"]: base64.b64decode(v["content"]) for v in values}


def private(body: bytes) -> bool:
    """What a new dataset is asked to be, in the words of either version of the client."""
    asked = json.loads(body)
    return bool(asked["private"] if "private" in asked else asked["visibility"] == "private")


def test_the_files_of_the_manifest_arrive_byte_for_byte_in_a_private_dataset(tmp_path, server):
    folder = exported(tmp_path / "out")
    (folder / "notes.txt").write_text("mine alone")
    done = push(folder, server, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{server.url}/datasets/me/mine/commit/{'a' * 40}"
    made, commit = (next(b for p, b in Hub.seen if key in p) for key in ("create", "commit"))
    assert private(made)
    names = ("subset.jsonl", "README.md", "manifest.json")
    assert sent(commit) == {n: (folder / n).read_bytes() for n in names}


def test_a_public_dataset_must_be_asked_for(tmp_path, server):
    done = push(exported(tmp_path / "out"), server, "--yes", "--public")
    assert done.returncode == 0, done.stderr
    assert not private(next(body for path, body in Hub.seen if "create" in path))


def test_without_a_person_to_confirm_nothing_is_sent(tmp_path, server):
    done = push(exported(tmp_path / "out"), server)
    assert done.returncode == 2
    assert "Give --yes to send" in done.stderr
    assert Hub.seen == []


def test_a_refusal_is_one_sentence_with_a_way_on(tmp_path, server):
    done = push(exported(tmp_path / "out"), server, "--yes", token="bad")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: me/mine: the hub refused with status 401. Log in first: hf auth login, or set"
        " HF_TOKEN."
    )
    assert "good" not in done.stderr


def test_a_hub_that_is_not_there_is_one_sentence(tmp_path, server):
    server.shutdown()
    server.server_close()
    done = push(exported(tmp_path / "out"), server, "--yes")
    assert done.returncode == 2, done.stderr
    assert "the hub cannot be reached" in done.stderr.splitlines()[-1]


def test_offline_and_bad_names_are_one_sentence(tmp_path, monkeypatch):
    folder = exported(tmp_path / "out")
    with pytest.raises(HubError, match="is no name of a dataset"):
        hub.push(folder, "a/b/c")
    with pytest.raises(HubError, match="switched off by HF_HUB_OFFLINE"):
        hub.push(folder, "me/mine")


@pytest.mark.parametrize("spoil", ["change", "remove", "link"])
def test_what_is_not_what_the_manifest_says_is_not_sent(tmp_path, spoil):
    folder = exported(tmp_path / "out")
    path = folder / "subset.jsonl"
    if spoil == "change":
        path.write_text("other")
    else:
        path.unlink()
    if spoil == "link":
        path.symlink_to("/etc/hostname")
    with pytest.raises(HubError, match="changed since" if spoil == "change" else "is not there"):
        hub.push(folder, "me/mine")


@pytest.mark.attack(line="paths")
@pytest.mark.parametrize("name", ["../up.txt", "/etc/hostname", ""])
def test_a_manifest_cannot_name_files_of_elsewhere(tmp_path, name):
    folder = exported(tmp_path / "out")
    files.write_json(folder / "manifest.json", {"files": {name: {"sha256": "0"}}})
    with pytest.raises(HubError, match="is not there"):
        hub.push(folder, "me/mine")


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"files": {}}', '{"files": 3}'])
def test_a_folder_without_an_export_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(HubError, match="holds no export"):
        hub.whole_export(tmp_path)


def test_a_missing_client_says_how_to_install_it(tmp_path, monkeypatch):
    import sys

    folder = exported(tmp_path / "out")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r'pip install "sftlens\[hf\]"'):
        hub.push(folder, "me/mine")
