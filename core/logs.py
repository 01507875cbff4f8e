"""Log lines for people, or one JSON object a line for machines; no secret in either.

`SFTLENS_LOG=json` (or `sftlens --log-format json`) gives `{"time", "level", "name", "message"}`,
and `error` with the whole trace where there is one. What looks like a secret, or is the value of
an environment variable that is named like one, is struck out.
"""

import json
import logging
import os
import re
import sys
import time

FORMAT = "SFTLENS_LOG"
NAMED = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|_KEY$|CREDENTIAL", re.IGNORECASE)
SHORTEST = 6  # a shorter value would strike out words
STRUCK = "[secret]"
LOOKS = (
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {STRUCK}"),
    (re.compile(r"\bhf_\w{8,}"), STRUCK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*"), STRUCK),  # a signed token
    (
        re.compile(
            r"\b(code|state|password|api_?key|\w*secret|\w*token)(['\"]?\s*[=:]\s*['\"]?)"
            r"[^\s&'\",}]{6,}",
            re.IGNORECASE,
        ),
        rf"\1\2{STRUCK}",
    ),
)
_HIDDEN: set[str] = set()
_ours: logging.Handler | None = None


def hide(value: object) -> None:
    """Strike this value out of all lines from now on."""
    if isinstance(value, str) and len(value) >= SHORTEST:
        _HIDDEN.add(value)


def without_secrets(text: str) -> str:
    """A text with secrets struck out."""
    named = {v for k, v in os.environ.items() if NAMED.search(k) and len(v) >= SHORTEST}
    for secret in sorted(named | _HIDDEN, key=len, reverse=True):
        text = text.replace(secret, STRUCK)
    for pattern, instead in LOOKS:
        text = pattern.sub(instead, text)
    return text


def as_json() -> bool:
    """Whether lines are JSON."""
    return os.environ.get(FORMAT, "").strip().lower() == "json"


class Plain(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging does, without secrets."""
        return without_secrets(super().format(record))


class Lines(logging.Formatter):
    """Lines for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object in ASCII, so that no text can break the line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{when}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "name": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line)


def handler(plain: str = "%(message)s") -> logging.Handler:
    """To standard error, as `SFTLENS_LOG` says; `plain` is the format for people."""
    made = logging.StreamHandler(sys.stderr)
    made.setFormatter(Lines() if as_json() else Plain(plain))
    return made


def set_up() -> None:
    """Let the loggers of this process write such lines, unless somebody else handles them."""
    global _ours
    root = logging.getLogger()
    if root.handlers and _ours not in root.handlers:
        return
    if _ours is not None:
        root.removeHandler(_ours)
    _ours = handler()
    root.addHandler(_ours)
    logging.getLogger("sftlens").setLevel(logging.INFO)
    logging.captureWarnings(as_json())


def choose(form: str) -> None:
    """Take `text` or `json` from now on, for the processes that this one starts, too."""
    os.environ[FORMAT] = form
    set_up()
