"""JSON texts -> raw records: an object a line, or the objects of an array, one at a time.

Of an array only a window is held, and no record may be longer than `config.longest_record`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from core import config
from core.columns import Record, encoding_fault
from core.errors import RecordError
from core.streams import lines, too_long

WINDOW = 2**20  # characters read at a time, more while one record needs more
EDGE = 16  # characters: what ends nearer to the window's end may go on behind it, as 1 in 1.5e3

# int() refuses more than 4,300 digits; such a number stays text
_JSON = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 21 else digits)
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def json_lines(path: Path, stream: TextIO) -> Iterator[Record]:
    """One object a line; blank lines are none."""
    for number, line in enumerate(lines(path, stream), 1):
        raw, where = line.rstrip("\r\n"), f"{path}:{number}"
        if not raw.strip():
            continue
        try:
            yield _json_record(where, raw, _JSON.decode(raw))
        except (ValueError, RecursionError) as fault:
            yield Record(where, raw, fault=_json_fault(raw, fault))


def json_array(path: Path, stream: TextIO) -> Iterator[Record]:
    """The objects of an array, or objects laid out one after another.

    Nobody can tell where a broken one ends, so it is one record with all that follows.

    Raises:
        RecordError: a record is longer than it may be.
    """
    window = _Window(path, stream)
    window.advance(0)
    inside = window.next == "["
    window.advance(window.at + inside)
    while window.next and not (inside and window.next == "]"):
        try:
            value, end = window.decode()
        except (ValueError, RecursionError) as fault:
            raw = window.text[window.at :]
            yield Record(window.where, raw, fault=_json_fault(raw, fault))
            return
        yield _json_record(window.where, window.text[window.at : end], value)
        window.advance(end)
    if inside and not window.next:
        what = "the array is not closed; the file may be cut"
        yield Record(window.where, "", fault=what)
    elif (rest := window.rest()[1:]).strip():
        yield Record(window.where, rest, fault="stands after the end of the array")


class _Window:
    """The part of a text that is held: from the present place on, as far as it was needed."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path, self._stream, self._most = path, stream, config.longest_record()
        self.text, self.at, self._line, self._ended = "", 0, 1, False

    @property
    def where(self) -> str:
        """The present place, for a person."""
        return f"{self._path}:{self._line}"

    @property
    def next(self) -> str:
        """The character at the present place, "" at the end of the file."""
        return self.text[self.at : self.at + 1]

    def advance(self, start: int) -> None:
        """Go to the first character from `start` on that is neither a space nor a comma."""
        end = _skip(self.text, start)
        while end == len(self.text) and not self._ended:
            self._move(end - self.text.endswith("\r"))  # with a line feed it is one line end
            self._more()
            start, end = 0, _skip(self.text, 0)
        self._move(end)

    def decode(self) -> tuple[object, int]:
        """The value that begins here, and where it ends.

        Raises:
            ValueError, RecursionError: there is none; all that follows is in the window.
            RecordError: it is longer than a record may be, or broken with more behind it.
        """
        while True:
            value, end, fault = self._tried()
            if self._ended or end + EDGE <= len(self.text):
                break
            if len(self.text) - self.at > self._most + EDGE:
                break
            fault = None  # it holds the text
            self._more()
        if end - self.at > self._most:
            raise _unread(self.where, self._most, fault) if fault else self._too_long()
        if fault:
            raise fault
        return value, end

    def _tried(self) -> tuple[object, int, Exception | None]:
        """The value, where it ends, and no fault; or, of all that is held, the fault."""
        try:
            return (*_JSON.raw_decode(self.text, self.at), None)
        except (ValueError, RecursionError) as fault:
            return None, len(self.text), fault

    def rest(self) -> str:
        """All that follows.

        Raises:
            RecordError: it is longer than a record may be.
        """
        while not self._ended and len(self.text) - self.at <= self._most:
            self._more()
        if len(self.text) - self.at > self._most:
            raise self._too_long()
        return self.text[self.at :]

    def _too_long(self) -> RecordError:
        return too_long(self.where, self._most)

    def _move(self, at: int) -> None:
        self._line += _line_ends(self.text, self.at, at)
        self.at = at

    def _more(self) -> None:
        """Let go of what lies behind, and hold twice of what lies ahead, or a window more."""
        ahead = self.text[self.at :]
        room = self._most + EDGE + 1 - len(ahead)
        piece = self._stream.read(max(1, min(room, max(WINDOW, len(ahead)))))
        self.text, self.at, self._ended = ahead + piece, 0, not piece


def _unread(where: str, most: int, fault: Exception) -> RecordError:
    """The sentence for a broken record with more text behind it than a record may have."""
    what = f"{_sentence(fault)}, within the {most:,} characters that a record may have"
    do = "Mend or cut it, or set SFTLENS_RECORD_MB to a larger number of millions."
    return RecordError(where, what, do=do)


def _skip(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _line_ends(text: str, start: int, end: int) -> int:
    count = text.count("\n", start, end)
    returns = text.count("\r", start, end)
    return count + returns - text.count("\r\n", start, end) if returns else count


def _json_record(where: str, raw: str, value: object) -> Record:
    fault = encoding_fault(raw)
    if not fault and not isinstance(value, dict):
        fault = "is not a JSON object"
    # half a pair can only come from an escape: the bytes of one are not valid UTF-8
    if not fault and ("\\ud" in raw or "\\uD" in raw):
        fault = _half_pair(value)
    return Record(where, raw, {} if fault else cast(dict[str, Any], value), fault, raw)


def _half_pair(value: object) -> str:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except RecursionError:
        return "is nested too deeply"
    return ""


def _json_fault(raw: str, fault: Exception) -> str:
    return (not isinstance(fault, RecursionError) and encoding_fault(raw)) or _sentence(fault)


def _sentence(fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "is nested too deeply"
    return f"is not JSON: {getattr(fault, 'msg', fault)}"
