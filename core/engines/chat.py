"""A conversation with an OpenAI-compatible server: so many requests at once, each tried with
patience.

Nothing is followed to another address, an answer is read up to a bound and never unpacked, and
a request that waits for its next try does not count among those that are under way. A server that
is busy, or says when it wants to be asked again, is left alone by all requests.
"""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.endpoints import Endpoint, key
from core.engines.refusals import (
    Again,
    Answered,
    Declined,
    NotFound,
    ServerFault,
    content,
    lasts,
    unknown,
    unreached,
)
from core.engines.replies import Reply, names, reply, whole
from core.errors import EndpointError

MOST_BYTES = 16 << 20  # of one answer of the server


@dataclass(frozen=True)
class Patience:
    """How long and how often one waits for a server, in seconds.

    Waits double from `first_s` to `most_s`, less a random part; a server that says when
    (Retry-After) is obeyed up to `asked_s`. `answer_s` is the time of a whole answer.
    """

    tries: int = 8
    slow_tries: int = 3  # of what takes `answer_s` each time
    list_tries: int = 3  # of a list that may be done without
    first_s: float = 0.5
    most_s: float = 30.0
    asked_s: float = 120.0
    connect_s: float = 10.0
    answer_s: float = 600.0

    def wait_s(self, attempt: int, again: Again) -> float | None:
        """Until the next try, after so many; None: there is none."""
        if attempt >= min(self.tries, again.tries) or (again.after_s or 0) > self.asked_s:
            return None
        if again.after_s is not None:
            return again.after_s + random.uniform(0, self.first_s)
        # an exponent that a float holds, however many tries there are
        return min(self.most_s, self.first_s * 2.0 ** min(attempt - 1, 64)) * random.uniform(0.5, 1)


class Chat:
    """A server, as long as it is open. All of it runs on one event loop."""

    def __init__(self, at: Endpoint, patience: Patience) -> None:
        import httpx2

        self.at, self.patience = at, patience
        self.retries = 0
        self._met = False  # it has answered once, whatever it said
        self._not_before = 0.0  # on the loop's clock
        self._room = asyncio.Semaphore(at.at_once)
        own = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key():
            own["Authorization"] = f"Bearer {key()}"
        near = {f"all://{at.host}": None} if at.is_here else None  # by no proxy
        self._client = httpx2.AsyncClient(
            headers=own,
            timeout=httpx2.Timeout(None, connect=patience.connect_s),
            limits=httpx2.Limits(max_connections=at.at_once, max_keepalive_connections=at.at_once),
            mounts=near,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def complete(self, body: Mapping[str, Any]) -> Reply:
        """Ask for chat completions.

        Raises:
            Declined: the server will not do this one request.
            EndpointError: it cannot be used, or could not for too long.
        """
        try:
            return reply(await self._patiently("POST", "chat/completions", body))
        except NotFound as error:
            there = await self.models()
            raise unknown(str(body.get("model", "")), there, str(error), self.at) from None

    async def models(self) -> list[str]:
        """The models that it tells of; none where it tells of none.

        Raises: as `complete`.
        """
        try:
            found = await self._patiently("GET", "models", None)
        except (NotFound, Declined, ServerFault):  # it answers, and keeps no such list
            return []
        return names(found)

    async def _patiently(
        self, verb: str, path: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """One request, tried again where that may help."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._room:
                    await self._until_wanted()  # in here: who had to queue hears of it, too
                    found = content(await self._once(verb, path, body), self.at)
                    return found if body is None else whole(found, self.at)
            except Again as again:
                wait_s = self.patience.wait_s(attempt, again)
                if wait_s is None or (body is None and attempt >= self.patience.list_tries):
                    raise again.error from None
                if again.of_all:
                    later = asyncio.get_running_loop().time() + wait_s
                    self._not_before = max(self._not_before, later)
                self.retries += 1
            await asyncio.sleep(wait_s)

    async def _until_wanted(self) -> None:
        """Wait as long as the server asked everybody to."""
        loop = asyncio.get_running_loop()
        while (left := self._not_before - loop.time()) > 0:
            await asyncio.sleep(left)

    async def _once(self, verb: str, path: str, body: Mapping[str, Any] | None) -> Answered:
        """Send a request and read what comes back.

        Raises:
            Again, EndpointError: nothing came, or more than is read.
        """
        import httpx2

        # escapes keep lone surrogates of a broken record: whether to take them is the server's
        sent = None if body is None else json.dumps(body).encode("ascii")
        own = {"Content-Type": "application/json"} if body is not None else {}
        url = f"{self.at.url}/{path}"
        try:
            async with (
                asyncio.timeout(self.patience.answer_s),
                self._client.stream(verb, url, content=sent, headers=own) as response,
            ):
                self._met = True
                return Answered(
                    response.status_code, dict(response.headers), await self._read(response)
                )
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            raise self._unreached(error) from error

    async def _read(self, response: Any) -> bytes:
        """The body as it was sent, up to `MOST_BYTES`."""
        held = bytearray()
        async for some in response.aiter_raw():
            held += some
            if len(held) > MOST_BYTES:
                what = f"sends more than {MOST_BYTES >> 20} MB as one answer"
                do = "Check that an OpenAI-compatible server is behind this address."
                raise EndpointError(self.at.url, what, do=do)
        return bytes(held)

    def _unreached(self, error: Exception) -> Exception:
        """For good before the server was ever met, else worth another try."""
        late = isinstance(error, TimeoutError)
        waited_s = self.patience.answer_s if late else self.patience.connect_s
        found = unreached(error, self.at, waited_s)
        if lasts(error) or not (self._met or late):
            return found
        return Again(found, tries=self.patience.slow_tries if late else self.patience.tries)
