"""What a server of chat completions answers with, as values; anything else is not let through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.endpoints import Endpoint
from core.engines.refusals import Again
from core.errors import EndpointError

LISTED, LONGEST = 1000, 500  # models that are looked at, characters of a name


@dataclass(frozen=True)
class Said:
    """One answer, and whether it came to its own end."""

    text: str
    ended: bool


@dataclass(frozen=True)
class Reply:
    """Answers to one request; tokens of the prompt and of all answers, None where untold."""

    said: tuple[Said, ...]
    prompt_tokens: int | None
    tokens: int | None


def names(found: Mapping[str, Any]) -> list[str]:
    """The models of a list of them."""
    listed = found.get("data")
    rows = listed[:LISTED] if isinstance(listed, list) else []
    ids = [row.get("id") for row in rows if isinstance(row, dict)]
    plain = [name for name in ids if isinstance(name, str) and name.isprintable()]
    return [name for name in plain if 0 < len(name) <= LONGEST]


def whole(found: dict[str, Any], at: Endpoint) -> dict[str, Any]:
    """The answer, if it is one: completions have choices, each with a message.

    Raises:
        Again: it has none, or they are no such things.
    """
    choices = found.get("choices")
    do = "See the server's log; what was drawn is kept."
    if not isinstance(choices, list) or not choices:
        raise Again(EndpointError(at.url, "answers without any choices", do=do), tries=3)
    if not all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in choices):
        raise Again(EndpointError(at.url, "answers with choices without a message", do=do), tries=3)
    return found


def reply(found: Mapping[str, Any]) -> Reply:
    """What `whole` let through, as values."""
    usage = found.get("usage")
    used = usage if isinstance(usage, dict) else {}
    said = [Said(_words(c["message"]), c.get("finish_reason") == "stop") for c in found["choices"]]
    return Reply(
        tuple(said), _count(used.get("prompt_tokens")), _count(used.get("completion_tokens"))
    )


def _words(message: Mapping[str, Any]) -> str:
    """The text of a message: a string, or parts of which some are text; empty where there is none,
    as in a refusal, or where a model has thought until it had to stop."""
    words = message.get("content")
    if isinstance(words, list):
        parts = [p.get("text") for p in words if isinstance(p, dict)]
        return "".join(p for p in parts if isinstance(p, str))
    return words if isinstance(words, str) else ""


def _count(value: object) -> int | None:
    """A number of tokens, if it is one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 2**31 else None
