"""Files as text, line by line: bounded in what one unpacks to, and in how long a record may be.

A few kilobytes of gzip can unpack to gigabytes, and a file without a line end is one line.
"""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from core import config
from core.errors import RecordError

ALWAYS = 256 * 2**20  # bytes that any packed file may unpack to, however small it is
BUFFER = 2**17  # bytes unpacked at a time


def is_packed(path: Path) -> bool:
    """Whether the file begins as gzip does."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def open_text(path: Path) -> TextIO:
    """The text of a file, packed or not. Broken bytes become lone surrogates.

    Reading raises:
        RecordError: the file unpacks to more than its share.
    """
    raw: Any = io.BufferedReader(Unpacked(path), BUFFER) if is_packed(path) else path.open("rb")
    # newline="": a line ends at \n, \r\n or \r and keeps its end; never at U+2028 or \x0b
    return io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="")


class Unpacked(io.RawIOBase):
    """What a gzip file unpacks to, until it is more than `check_share` allows."""

    def __init__(self, path: Path) -> None:
        self._path, self._stream, self._seen = path, gzip.GzipFile(path), 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack as much as there is room for.

        Raises:
            RecordError: it is more than the file's share.
        """
        piece = self._stream.read(len(buffer))
        self._seen += len(piece)
        check_share(self._path, self._seen)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


def check_share(path: Path, unpacked: int) -> None:
    """Refuse a file that unpacks to `unpacked` bytes if that is far more than it holds.

    Raises:
        RecordError: more than `ALWAYS`, and more than `config.unpack_ratio` times its size.
    """
    if unpacked > ALWAYS and unpacked > (ratio := config.unpack_ratio()) * path.stat().st_size:
        what = f"unpacks to more than {ratio:,} times its size and {ALWAYS // 2**20} MB"
        do = "It may be a bomb. If you trust it, set SFTLENS_UNPACK_RATIO to a larger number."
        raise RecordError(path, what, do=do)


def lines(path: Path, stream: TextIO) -> Iterator[str]:
    """The lines of a file, each with its end.

    Raises:
        RecordError: a line is longer than a record may be.
    """
    most = config.longest_record()
    number = 0
    while line := stream.readline(most + 1):
        number += 1
        if len(line) > most:
            raise too_long(f"{path}:{number}", most)
        yield line


def too_long(where: str, most: int) -> RecordError:
    """The sentence for a record that is longer than `most` characters."""
    what = f"this record has more than {most:,} characters"
    do = "Cut it, or set SFTLENS_RECORD_MB to a larger number of millions."
    return RecordError(where, what, do=do)
