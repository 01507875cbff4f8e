"""Where another program draws answers: an OpenAI-compatible server, by its address."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from core.errors import EndpointError

KEY = "SFTLENS_ANSWERS_KEY"  # the environment variable that holds the key, if one is needed
# of an address that says too much; slashes at its end, too
ENDING = re.compile(r"(?<!/)(/+(chat/completions|completions|models))*/*$")
AT_ONCE = 8  # requests
MOST_AT_ONCE = 1024


@dataclass(frozen=True)
class Endpoint:
    """A server, the model it is asked for, and how many requests it is sent at once.

    `url` is what stands before `/chat/completions`: `https://host/v1`. It is kept in runs and
    manifests, so it may hold no secret. `model` empty: the only one that the server has.

    Raises:
        EndpointError: no http or https address, or one with a password or a query in it.
    """

    url: str
    model: str = ""
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _plain(self.url))
        if not 1 <= self.at_once <= MOST_AT_ONCE:
            what = f"takes 1 to {MOST_AT_ONCE:,} requests at once"
            raise EndpointError("--answers-concurrency", what, got=self.at_once)

    @property
    def host(self) -> str:
        """`127.0.0.1:8000`."""
        return urlsplit(self.url).netloc

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, so that no proxy leads to it."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    def card(self) -> dict[str, str]:
        """What a run's card says of it; `of_card` is the way back."""
        return {"endpoint": self.url, "model": self.model}


def of_card(card: Mapping[str, Any]) -> Endpoint | None:
    """The server that drew the answers of a run; None where the run's own model did."""
    found = card.get("answers")
    return Endpoint(str(found["endpoint"]), str(found["model"])) if found else None


def key() -> str:
    """The key of the environment, empty where there is none.

    Raises:
        EndpointError: it cannot stand in a header.
    """
    found = os.environ.get(KEY, "").strip()
    if not all("!" <= c <= "~" for c in found):
        do = "Set it to the key alone, without spaces, quotes or line breaks."
        raise EndpointError(KEY, "holds what cannot be a key", do=do)
    return found


def _plain(url: str) -> str:
    """The address as it is kept: without a slash at its end, `/v1` where it has no path.

    An address that was kept is kept as it is: runs are read back, and scored again.
    """
    where, text = "--answers-endpoint", url.strip()
    do = "Give an address such as http://127.0.0.1:8000/v1."
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise EndpointError(where, "is no address", do=do) from None
    if parts.scheme not in ("http", "https") or not named or not text.isascii():
        raise EndpointError(where, "is no http or https address", got=_shown(parts), do=do)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        what = "holds a name, a password or a query, and an address is kept with the scores"
        raise EndpointError(where, what, do=f"Leave them out; a key goes into {KEY}.")
    if any(c <= " " or c == "\\" for c in text):
        raise EndpointError(where, "has a space or a backslash in it", do=do)
    path = ENDING.sub("", parts.path, count=1) or "/v1"
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def _shown(parts: SplitResult) -> str:
    """An address for a sentence: nothing of it that could be a secret."""
    return f"{parts.scheme}://{parts.hostname or ''}"[:80]
