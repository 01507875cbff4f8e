"""What stands in a server's refusal: its own words, without the key, and when to come back."""

import email.utils
import json
import re
from datetime import UTC, datetime

from core.endpoints import key

WORDS = 300  # characters that are read


def said(body: bytes) -> str:
    """A server's own words, wherever in its answer they stand."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = text_of(body)
    for name in ("error", "detail"):
        value = value[0] if isinstance(value, list) and value else value
        value = value.get(name, value) if isinstance(value, dict) else value
    value = value[0] if isinstance(value, list) and value else value
    kind = ""
    if isinstance(value, dict):  # some say what is wrong by its kind alone
        kind = str(value.get("code") or value.get("type") or "")
        value = value.get("message", value.get("msg", value))
    # masked before it is cut: half a key is half a secret
    return f"{masked(str(value))[:WORDS]} {masked(kind)[:WORDS]}".strip()


def masked(text: str) -> str:
    """A text without the key."""
    own = key()
    return text.replace(own, "***") if own else text


def text_of(body: bytes) -> str:
    """The beginning of any bytes as a line."""
    return " ".join(body[: 4 * WORDS].decode("utf8", "replace").split())


def retry_after(header: str) -> float | None:
    """Seconds that a Retry-After asks for, as a number or as a date; None where it does not."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", header.strip()):
        return float(header)
    try:
        then = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
