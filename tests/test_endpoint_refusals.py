"""Every way in which a server can refuse is one sentence; what may pass is tried again."""

import gzip
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import QUICK, Body, Sent, Server, asks, knows_n, refused, sent, serving
from hypothesis import example, given
from hypothesis import strategies as st

from core import logs
from core.domain import Sample, Turn
from core.endpoints import AT_ONCE, Endpoint, of_card
from core.engines import Sampling
from core.engines.chat import MOST_BYTES, Patience
from core.engines.endpoint import EndpointEngine
from core.engines.line import named
from core.engines.refusals import TOO_LONG, Again
from core.engines.replies import names, reply, whole
from core.engines.words import retry_after, said
from core.errors import EndpointError

SAMPLING = Sampling(2, 1.0, 0.9, 8, 1)
SECRET = "sk-very-secret"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "usage", "error", "detail", "data", "id", "code"]
            ),
            inside,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLENS_ANSWERS_KEY", SECRET)


def draw(at: Endpoint, patience: Patience = QUICK, n: int = 3) -> EndpointEngine:
    """Draw answers to a few samples; the engine tells what became of them."""
    some = [Sample((Turn("user", f"Ask {k}"), Turn("assistant", "x")), "t") for k in range(n)]
    engine = EndpointEngine(at, patience)
    try:
        engine.answers(some, SAMPLING, 4096)
    finally:
        engine.close()
    return engine


def sentence(at: Endpoint, patience: Patience = QUICK) -> str:
    """The sentence with which drawing ends: one line, about this server, without the key."""
    with pytest.raises(EndpointError) as found:
        draw(at, patience)
    line = str(found.value)
    assert line.startswith(f"{at.url}: ")
    assert line.isprintable()
    assert SECRET not in line
    assert len(line) < 500
    return line


def first(times: int, bad: Sent, then: Any = knows_n) -> Any:
    """Behave badly so many times, then well."""
    left, lock = [times], threading.Lock()

    def behave(body: Body) -> Sent:
        with lock:
            left[0] -= 1
            return bad if left[0] >= 0 else then(body)

    return behave


def test_nobody_listens() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        at = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "m")
        assert "nobody listens there. Start the server" in sentence(at)


def test_a_name_that_nobody_has() -> None:
    assert "the name nobody.invalid is not known" in sentence(
        Endpoint("http://nobody.invalid/v1", "m")
    )


def test_https_to_a_server_without_tls(server: Server) -> None:
    at = Endpoint(server.url.replace("http:", "https:"), "m")
    assert "does not speak TLS. Use http://" in sentence(at)
    assert not server.bodies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key with a certificate that nobody signed."""
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    try:
        subprocess.run(
            [*command.split(), "-keyout", path, "-out", path.with_suffix(".crt")],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("needs openssl")
    path.write_text(path.read_text("ascii") + path.with_suffix(".crt").read_text("ascii"), "ascii")
    return path


@pytest.mark.attack(line="secrets")
def test_a_certificate_that_is_not_trusted_gets_no_key(certificate: Path) -> None:
    with serving(certificate=certificate) as server:
        assert "its certificate is not trusted" in sentence(server.endpoint())
        assert not server.headers


@pytest.mark.attack(line="secrets")
def test_a_server_that_asks_for_a_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.behave = lambda body: refused(401, f"Incorrect API key provided: {SECRET}")
    line = sentence(server.endpoint())
    assert "does not take the key" in line
    assert "***" in line
    monkeypatch.delenv("SFTLENS_ANSWERS_KEY")
    with pytest.raises(EndpointError, match=r"asks for a key.* Set SFTLENS_ANSWERS_KEY"):
        draw(server.endpoint())


@pytest.mark.parametrize("status", [200, 500])
def test_of_a_key_that_a_server_repeats_no_part_is_told(status: int, server: Server) -> None:
    for before in range(60, 130, 3):  # wherever a sentence is cut
        page = f"{'x' * before} {SECRET} and more".encode()
        server.behave = lambda body, page=page: (status, {}, page)
        assert SECRET[:6] not in sentence(server.endpoint())
    for before in range(280, 310):
        assert SECRET[:6] not in said(json.dumps({"error": "x" * before + SECRET}).encode())


def test_the_key_is_struck_out_of_any_log_line() -> None:
    assert SECRET not in logs.without_secrets(f"a header was {SECRET!r}")


def test_a_server_that_denies_access(server: Server) -> None:
    server.behave = lambda body: refused(403, "this model is gated")
    assert "denies access (403). Got 'this model is gated" in sentence(server.endpoint())
    assert len(server.bodies) == 1


def test_an_unknown_model_is_told_with_those_that_are_there(server: Server) -> None:
    server.behave = lambda body: refused(404, f"The model `{body['model']}` does not exist.")
    line = sentence(server.endpoint(model="org/large"))
    assert "has no such model. Got 'org/large'. Name one with --answers-model: org/small." in line


def test_an_address_without_chat_completions(server: Server) -> None:
    at = Endpoint(server.url.replace("/v1", "/api"), "org/small")
    assert "has no chat completions (404)" in sentence(at)


@pytest.mark.parametrize(
    "words",
    [
        {"error": {"message": "temperature must be <= 1"}},
        {"error": "temperature must be <= 1"},
        {"message": "temperature must be <= 1"},
        {"detail": "temperature must be <= 1"},
        {"detail": [{"loc": ["body"], "msg": "temperature must be <= 1"}]},
        [{"error": {"message": "temperature must be <= 1"}}],
        "temperature must be <= 1",
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_what_a_server_declines_is_told_in_its_own_words(
    status: int, words: Any, server: Server
) -> None:
    server.behave = lambda body: sent(words, status)
    line = sentence(server.endpoint())
    assert "declines what it is asked" in line
    assert "temperature must be <= 1" in line


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_what_passes_is_tried_again(status: int, server: Server) -> None:
    server.behave = first(2, refused(status, "busy"))
    engine = draw(server.endpoint(at_once=1))
    assert engine.counts.drawn == 3
    assert "2 requests tried again" in engine.told()


@pytest.mark.parametrize(
    ("status", "said"),
    [(429, "takes no more requests (429)"), (500, "has a fault of its own (500)"), (503, "(503)")],
)
def test_what_does_not_pass_ends_after_so_many_tries(
    status: int, said: str, server: Server
) -> None:
    server.behave = lambda body: refused(status, "busy")
    line = sentence(server.endpoint(at_once=1))
    assert said in line
    assert "Got 'busy" in line
    assert len(server.bodies) == QUICK.tries


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("said", [{"Retry_After": "0.3"}, {}])
def test_a_busy_server_is_left_alone_by_those_too_who_had_queued_before(
    status: int, said: dict[str, str], server: Server
) -> None:
    until, early, lock = [0.0], [], threading.Lock()

    def busy(body: Body) -> Sent:
        with lock:
            now = time.monotonic()
            early.extend([asks(body)] * (now < until[0]))
            if until[0] or not asks(body).startswith("Ask"):
                return knows_n(body)
            until[0] = now + 0.3
            return refused(status, "slower", **said)

    server.behave = busy
    patience = Patience(first_s=0.6, most_s=0.6)  # the least wait of its own is half of it
    engine = draw(server.endpoint(at_once=1), patience, n=6)
    assert engine.counts.drawn == 6
    assert "1 requests tried again" in engine.told()
    assert not early


def test_a_server_that_says_when_is_waited_for_as_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.engines.chat.random.uniform", lambda low, high: low)
    patience = Patience(tries=5, first_s=1.0, most_s=30.0, asked_s=120.0)
    again = Again(EndpointError("a", "b"), 7.0)
    assert patience.wait_s(1, again) == patience.wait_s(4, again) == 7.0
    assert patience.wait_s(5, again) is None
    assert patience.wait_s(1, Again(EndpointError("a", "b"), 121.0)) is None


def test_waits_double_up_to_a_bound_and_are_never_alike() -> None:
    patience = Patience(tries=2000, first_s=0.5, most_s=30.0)
    again = Again(EndpointError("a", "b"))
    for attempt in range(1, 1999):
        longest = min(30.0, 0.5 * 2 ** min(attempt - 1, 30))
        waits = {patience.wait_s(attempt, again) for _ in range(5)}
        assert len(waits) > 1
        assert all(longest / 2 <= w <= longest for w in waits if w is not None)
    assert patience.wait_s(2000, again) is None


def test_a_server_that_wants_hours_is_told(server: Server) -> None:
    server.behave = lambda body: refused(429, "come back tomorrow", Retry_After="86400")
    assert "takes no more requests" in sentence(server.endpoint())
    assert len(server.bodies) == 1


def test_a_server_that_never_answers(server: Server) -> None:
    end = threading.Event()
    server.behave = lambda body: knows_n(body) if end.wait(60) else refused(500, "")
    hurried = Patience(tries=9, slow_tries=2, first_s=0.001, most_s=0.001, answer_s=0.2)
    assert "gives no answer within 0 s" in sentence(server.endpoint(), hurried)
    assert len(server.bodies) == 2
    end.set()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html><body>\x1b[31mWelcome</body></html>", "no JSON"),
        (b"", "no JSON"),
        (b"[1, 2]", "no JSON"),
        (b'{"choices": [', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (gzip.compress(b'{"choices": "' + b"x" * 10**6 + b'"}', mtime=0), "no JSON"),
        (b"{}", "without any choices"),
        (b'{"choices": []}', "without any choices"),
        (b'{"choices": {"0": {}}}', "without any choices"),
        (b'{"choices": [{"text": "x"}]}', "without a message"),
        (b'{"choices": [7]}', "without a message"),
    ],
)
def test_an_answer_that_is_none(body: bytes, what: str, server: Server) -> None:
    gzipped = {"Content-Encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
    server.behave = lambda _: (200, gzipped, body)
    assert what in sentence(server.endpoint(at_once=1))
    assert len(server.bodies) == 3


def test_an_answer_that_is_none_may_be_one_the_next_time(server: Server) -> None:
    server.behave = first(2, sent({"choices": []}))
    assert draw(server.endpoint(at_once=1)).counts.drawn == 3


def test_a_connection_that_breaks_is_tried_again_and_then_told(server: Server) -> None:
    half: Sent = (200, {"Content-Length": "1000"}, b'{"choices": [')
    server.behave = first(2, half)
    assert draw(server.endpoint(at_once=1)).counts.drawn == 3
    server.behave = lambda body: half
    assert "the connection broke" in sentence(server.endpoint())


def test_an_answer_without_an_end_is_read_up_to_a_bound(server: Server) -> None:
    server.behave = lambda body: (200, {}, b'{"a": "' + b"x" * (MOST_BYTES + 1000))
    assert "sends more than 16 MB as one answer" in sentence(server.endpoint())
    assert len(server.bodies) == 1


@pytest.mark.attack(line="secrets")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_follows_no_redirect(status: int, server: Server) -> None:
    with serving() as other:
        to = f"{other.url}/chat/completions"
        server.behave = lambda body: sent({}, status, Location=to)
        assert f"sends requests elsewhere. Got '{to}'" in sentence(server.endpoint())
        assert not other.bodies
        assert not other.headers
    assert len(server.bodies) == 1


def test_what_was_refused_in_the_middle_ends_the_others(server: Server) -> None:
    def closing(body: Body) -> Sent:
        return refused(401, "expired") if asks(body) == "Ask 1" else knows_n(body)

    server.behave = closing
    assert "does not take the key" in sentence(server.endpoint())


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 4096 tokens",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "the request exceeds the available context size exceed_context_size_error",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
        "Please reduce the length of the messages. context_length_exceeded",
        "Requested token count exceeds the model's maximum context length",
        "max_tokens is too large: 9000. This model supports at most 4096 completion tokens",
        "The decoder prompt (length 900) is longer than the maximum model length of 512 tokens",
        "Prompt is too long",
    ],
)
def test_too_long_is_understood_however_it_is_said(words: str) -> None:
    assert TOO_LONG.search(words)


@pytest.mark.parametrize(
    "words",
    [
        "temperature must be <= 1",
        "Conversation roles must alternate user/assistant",
        "System role not supported",
        "Unexpected fields in the request: {'seed'}",
        "Only one completion choice is allowed",
        "Invalid token in header",
    ],
)
def test_other_refusals_are_not_taken_for_too_long(words: str) -> None:
    assert not TOO_LONG.search(words)


@given(st.text())
@example("²")
@example("1e400")
@example("Wed, 21 Oct 2015 07:28:00 GMT")
def test_any_retry_after_is_seconds_or_nothing(header: str) -> None:
    found = retry_after(header)
    assert found is None or 0 <= found < 10**10


def test_a_retry_after_may_be_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=40)
    assert retry_after(format_datetime(then, usegmt=True)) == pytest.approx(40, abs=5)
    assert retry_after("12") == 12


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_refusal_has_words_of_bounded_length(body: bytes) -> None:
    assert len(said(body)) <= 700


@given(st.dictionaries(st.sampled_from(["choices", "usage", "data"]), ANY_JSON))
def test_any_json_is_a_reply_or_no_answer(value: dict[str, Any]) -> None:
    at = Endpoint("http://127.0.0.1:1/v1", "m")
    assert all(isinstance(name, str) for name in names(value))
    try:
        found = reply(whole(value, at))
    except Again:
        return
    assert len(found.said) == len(value["choices"])
    assert all(isinstance(s.text, str) for s in found.said)
    assert found.tokens is None or found.tokens >= 0


def test_the_only_model_of_a_server_needs_no_name(server: Server) -> None:
    assert named(server.endpoint(model="")).model == "org/small"
    assert named(server.endpoint(model="org/other")).model == "org/other"
    assert server.listed == 1


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (sent({"data": [{"id": "a"}, {"id": "b"}]}), "has 2 models. Name one .*: a, b"),
        (sent({"data": []}), "does not tell which models it has. Name one"),
        (sent({"data": [{"id": "\x1b[31m"}, {"id": 7}, 3, {"id": ""}]}), "does not tell"),
        (refused(404, "no"), "does not tell"),
        (refused(500, "Internal Server Error"), "does not tell"),
        (refused(401, "no"), "does not take the key"),
    ],
)
def test_models_without_one_name_ask_for_it(models: Sent, said: str, server: Server) -> None:
    server.models = models
    with pytest.raises(EndpointError, match=said):
        named(server.endpoint(model=""), QUICK)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        (" https://Host.example/v1/ ", "https://host.example/v1"),
        ("https://h/api/v1/chat/completions", "https://h/api/v1"),
        ("https://h/v1//completions/", "https://h/v1"),
        ("http://h/chat/completions", "http://h/v1"),
        ("http://h/models", "http://h/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_is_kept_in_one_way(given: str, kept: str) -> None:
    at = Endpoint(given, "m")
    assert at.url == kept
    assert Endpoint(at.url, "m") == at == of_card({"answers": at.card()})
    assert at.at_once == AT_ONCE
    assert of_card({}) is None


@given(st.lists(st.sampled_from(["", "v1", "api", "chat", "completions", "models"])))
def test_an_address_that_was_kept_is_kept_as_it_is(path: list[str]) -> None:
    kept = Endpoint(f"http://h/{'/'.join(path)}").url
    assert Endpoint(kept).url == kept


@pytest.mark.attack(line="secrets")
@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "localhost:8000",
            "ftp://h/v1",
            "file:///etc/passwd",
            "//h/v1",
            "http://",
            "http:///v1",
        ),
        *("javascript:alert(1)", "http://h:port/v1", "http://[::1/v1", "http://h:99999/v1"),
        *(f"http://user:{SECRET}@h/v1", f"http://{SECRET}@h/v1", f"http://h/v1?key={SECRET}"),
        *(f"http://h/v1#{SECRET}", "http://h\n.evil/v1", "http://h/v1\r\nX: y", "http://h/ v1"),
        *("http://h\\@evil/v1", "http://hø/v1"),
    ],
)
def test_an_address_that_cannot_be_is_one_sentence_without_its_secret(url: str) -> None:
    with pytest.raises(EndpointError, match=r"^--answers-endpoint: ") as found:
        Endpoint(url)
    assert SECRET not in str(found.value)


@pytest.mark.attack(line="secrets")
@pytest.mark.parametrize("value", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_one_is_told_without_it(
    value: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_ANSWERS_KEY", value)
    with pytest.raises(EndpointError, match=r"^SFTLENS_ANSWERS_KEY: holds what cannot be a key"):
        draw(server.endpoint())
    assert not server.bodies


def test_no_proxy_leads_to_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):  # which would do the same
        monkeypatch.delenv(name, raising=False)
    assert draw(server.endpoint()).counts.drawn == 3
