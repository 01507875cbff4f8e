"""A small server of chat completions on this machine that does as a test says."""

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from core.endpoints import Endpoint
from core.engines.chat import Patience

MODEL = "org/small"
QUICK = Patience(
    tries=3, slow_tries=2, first_s=0.001, most_s=0.002, asked_s=1.0, connect_s=5.0, answer_s=30.0
)
WORDS = ("sea", "tea", "one", "two", "three", "blue", "red", "because", "therefore", "seven")

Body = dict[str, Any]
Sent = tuple[int, dict[str, str], bytes]  # status, headers, body
Behave = Callable[[Body], Sent]


def sent(value: Any, status: int = 200, **headers: str) -> Sent:
    """A value as a response in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(value).encode()


def refused(status: int, words: str, **headers: str) -> Sent:
    """An error as most servers word it."""
    return sent({"error": {"message": words, "type": "invalid_request_error"}}, status, **headers)


def text(body: Body, j: int = 0) -> str:
    """A few words that depend on seed and question."""
    asked = json.dumps([body["messages"], body["seed"] + j])
    digest = hashlib.sha256(asked.encode()).digest()
    return " ".join(WORDS[b % len(WORDS)] for b in digest[: 3 + digest[31] % 6])


def completion(texts: Sequence[Any], reason: str = "stop", usage: Any = ...) -> Body:
    """What a server answers with; a token a word and one for the end, unless told otherwise."""
    tokens = sum(len(str(t).split()) + 1 for t in texts)
    used = {"prompt_tokens": 11, "completion_tokens": tokens} if usage is ... else usage
    choices = [
        {"index": k, "message": {"role": "assistant", "content": t}, "finish_reason": reason}
        for k, t in enumerate(texts)
    ]
    return {"object": "chat.completion", "choices": choices, "usage": used}


def knows_n(body: Body) -> Sent:
    """n answers to one request."""
    return sent(completion([text(body, j) for j in range(body.get("n", 1))]))


def ignores_n(body: Body) -> Sent:
    """One answer, whatever is asked."""
    return sent(completion([text(body)]))


def refuses_n(body: Body) -> Sent:
    """400 where n is asked for."""
    if "n" in body:
        return refused(400, "Only one completion choice is allowed")
    return ignores_n(body)


def asks(body: Body) -> str:
    """The last message of a request."""
    return str(body["messages"][-1]["content"])


@dataclass
class Server:
    """The server: where it is, how it behaves, and what it was asked."""

    url: str
    behave: Behave = knows_n
    models: Sent = field(default_factory=lambda: sent({"data": [{"id": MODEL}]}))
    bodies: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    listed: int = 0  # times that it was asked for its models
    under_way: int = 0
    most: int = 0  # requests under way at once
    lock: threading.Lock = field(default_factory=threading.Lock)

    def endpoint(self, at_once: int = 8, model: str = MODEL) -> Endpoint:
        """The way to it."""
        return Endpoint(self.url, model, at_once)

    def about(self, words: str = "") -> list[Body]:
        """Requests for answers to samples, not those that find out how it wants to be asked."""
        probes = ("Say yes.", "Begin a story that nobody has told before.")
        return [b for b in self.bodies if asks(b) not in probes and words in asks(b)]

    def answer(self, body: Body, headers: dict[str, str]) -> Sent:
        """Keep what was asked, and behave."""
        with self.lock:
            self.bodies.append(body)
            self.headers.append(headers)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            return self.behave(body)
        finally:
            with self.lock:
                self.under_way -= 1


class _Many(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.listed += self.path.endswith("/models")
            self._send(server.models if self.path.endswith("/v1/models") else refused(404, "Not"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = server.answer(body, dict(self.headers))
            there = self.path.endswith("/v1/chat/completions")
            self._send(found if there else refused(404, "Not Found"))

        def _send(self, found: Sent) -> None:
            status, headers, body = found
            try:
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if int(headers.get("Content-Length", len(body))) != len(body):
                    self.close_connection = True
            except (BrokenPipeError, ConnectionResetError):  # nobody waits for it any more
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving(behave: Behave = knows_n, certificate: Path | None = None) -> Iterator[Server]:
    """A server until the end of the body; with a certificate it speaks TLS."""
    scheme = "https" if certificate else "http"
    with _Many(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        server = Server(f"{scheme}://127.0.0.1:{http.server_address[1]}/v1", behave)
        http.RequestHandlerClass = _handler(server)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            http.socket = context.wrap_socket(http.socket, server_side=True)
            http.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
