"""What a server's refusal means: to be tried again, about one request alone, or for good.

Every sentence names the server's address and none holds the key, which some servers repeat.
"""

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.endpoints import KEY, Endpoint, key
from core.engines.words import masked, retry_after, said, text_of
from core.errors import EndpointError

TOO_LONG = re.compile(  # how servers say that a prompt and its answer do not fit
    r"context.{0,20}(length|size|window)|exceed_context|maximum.{0,20}(context|sequence)"
    r"|tokens?\b.{0,60}\b(exceeds?|too (long|large|many)|longer|must be <=)"
    r"|(exceeds?|too (long|large|many)|longer)\b.{0,60}\btokens?\b"
    r"|(prompt|input)s?\b.{0,20}too long",
    re.IGNORECASE | re.DOTALL,
)


class Again(Exception):
    """Worth another try, `after_s` seconds from now if the server said when; else `error`.

    `of_all`: the server speaks of all requests, not of this one.
    """

    def __init__(
        self,
        error: EndpointError,
        after_s: float | None = None,
        tries: int = 2**31,
        of_all: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error, self.after_s, self.tries = error, after_s, tries
        self.of_all = of_all or after_s is not None


class Declined(Exception):
    """The server will not do this one request, and says why. `too_long`: it does not fit."""

    def __init__(self, words: str, too_long: bool) -> None:
        super().__init__(words)
        self.words, self.too_long = words, too_long


class ServerFault(EndpointError):
    """A fault of the server, time and again. One request may be what brings it about."""

    too_long = False  # as of `Declined`: no server says by a fault that a prompt does not fit


class NotFound(Exception):
    """There is no such model, or no such address."""


@dataclass(frozen=True)
class Answered:
    """A response: its status, its headers by small names, and the start of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def content(found: Answered, at: Endpoint) -> dict[str, Any]:
    """The JSON object that a server answered with.

    Raises:
        Again: it is busy, has a fault, or what came is not whole.
        Declined: it is about this request alone.
        NotFound: 404.
        EndpointError: it refuses for good.
    """
    if 200 <= found.status < 300:
        return _parsed(found, at)
    words = said(found.body)
    if 300 <= found.status < 400:
        do = "Give the address that it means; a key is never sent on to another one."
        got = masked(found.headers.get("location", ""))
        raise EndpointError(at.url, "sends requests elsewhere", got=got, do=do)
    if found.status in (401, 403):
        raise _locked(found.status, words, at)
    if found.status == 404:
        raise NotFound(words)
    if found.status in (408, 425, 429) or found.status >= 500:
        after_s = retry_after(found.headers.get("retry-after", ""))
        raise Again(_busy(found.status, words, at), after_s, of_all=found.status in (429, 503))
    raise Declined(words, found.status == 413 or bool(TOO_LONG.search(words)))


def _parsed(found: Answered, at: Endpoint) -> dict[str, Any]:
    try:
        value = json.loads(found.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        do = "Check that an OpenAI-compatible server is behind this address."
        got = masked(text_of(found.body))[:80]
        raise Again(EndpointError(at.url, "answers with what is no JSON", got=got, do=do), tries=3)
    return value


def _locked(status: int, words: str, at: Endpoint) -> EndpointError:
    """401 and 403."""
    if status == 401 and not key():
        what, do = "asks for a key", f"Set {KEY} to it."
    elif status == 401:
        what, do = "does not take the key", f"Check {KEY}."
    else:
        what, do = "denies access (403)", f"Ask who keeps it whether {KEY} may use this model."
    return EndpointError(at.url, what, got=words, do=do)


def _busy(status: int, words: str, at: Endpoint) -> EndpointError:
    """429 and the like, and faults of the server."""
    if status == 429:
        do = "Wait, or ask less at once (--answers-concurrency); what was drawn is kept."
        return EndpointError(at.url, "takes no more requests (429)", got=words, do=do)
    do = "See the server's log, then run the same command again; what was drawn is kept."
    return ServerFault(at.url, f"has a fault of its own ({status})", got=words, do=do)


def unknown(model: str, there: list[str], words: str, at: Endpoint) -> EndpointError:
    """404: the model where others are there, else the address."""
    if there and model not in there:
        do = f"Name one with --answers-model: {', '.join(there[:5])}."
        return EndpointError(at.url, "has no such model", got=model, do=do)
    do = "Give what stands before /chat/completions, mostly with /v1 at its end."
    return EndpointError(at.url, "has no chat completions (404)", got=words, do=do)


def unreached(error: Exception, at: Endpoint, waited_s: float) -> EndpointError:
    """Nothing came back at all: one sentence for each reason."""
    causes = list(_causes(error))

    def first(kind: type) -> Any:
        return next((c for c in causes if isinstance(c, kind)), None)

    if first(socket.gaierror):
        what, do = f"the name {at.host} is not known", "Check its spelling and the network."
    elif (found := first(ssl.SSLCertVerificationError)) is not None:
        what = f"its certificate is not trusted ({found.verify_message})"
        do = "Let this machine trust it, or give the name that it is made out to."
    elif first(ssl.SSLError):
        what, do = "does not speak TLS", "Use http:// if it has no certificate."
    elif first(ConnectionRefusedError):
        what, do = "nobody listens there", "Start the server, or check host and port."
    elif first(TimeoutError) or "Timeout" in type(error).__name__:
        what = f"gives no answer within {waited_s:,.0f} s"
        do = "Check that it works, or ask less at once (--answers-concurrency)."
    else:
        what = "the connection broke"
        do = "Check the server's log, and whether it wants http:// or https://."
        return EndpointError(at.url, what, got=masked(str(error) or type(error).__name__), do=do)
    return EndpointError(at.url, what, do=do)


def lasts(error: Exception) -> bool:
    """Whether another try is of no use: the other side is not to be trusted."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it came from."""
    seen: list[BaseException] = [error]
    for each in seen:  # grows on the way
        yield each
        inside = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        before = [e for e in (each.__cause__, each.__context__, *inside) if e is not None]
        seen += [e for e in before if all(e is not s for s in seen)]
