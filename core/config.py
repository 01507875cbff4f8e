"""Where things are on disk. Nothing here is read at import time, so tests can move it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
_instead: list[Path] = []  # the store of a rebuild, while it is made


def cache_dir() -> Path:
    """The folder for store, blocks, models and logs: `SFTLENS_CACHE`, else `cache/` here."""
    moved = os.environ.get("SFTLENS_CACHE", "").strip()
    return Path(moved).expanduser().resolve() if moved else ROOT / "cache"


def store_path() -> Path:
    """The DuckDB file with pools, samples, scores and recipes."""
    return _instead[-1] if _instead else cache_dir() / "sftlens.duckdb"


@contextmanager
def store_at(path: Path) -> Iterator[None]:
    """Another file is the store of this process meanwhile."""
    _instead.append(path)
    try:
        yield
    finally:
        _instead.pop()


def folder(name: str) -> Path:
    """A folder of the cache, made when missing: `blocks`, `models`, `runs`, `quarantine`, `logs`.

    Raises:
        ConfigError: the cache cannot be written.
    """
    path = cache_dir() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error) from error
    return path


def check_writable() -> None:
    """Try a one-byte file in the cache, so that a long run does not find out at its end.

    Raises:
        ConfigError: the cache cannot be written, or its disk is full.
    """
    path = folder("logs")
    try:
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"0")
            probe.flush()
    except OSError as error:
        raise unwritable(error) from error


def unpack_ratio() -> int:
    """How many times its size a packed file may unpack to: `SFTLENS_UNPACK_RATIO`, else 100.

    Raises:
        ConfigError: the setting is not a number of at least 1.
    """
    return _number("SFTLENS_UNPACK_RATIO", 100)


def longest_record() -> int:
    """Characters a record may have: `SFTLENS_RECORD_MB` million, else 256 million.

    Raises:
        ConfigError: the setting is not a number of at least 1.
    """
    return 10**6 * _number("SFTLENS_RECORD_MB", 256)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9 or not int(text):
        do = f"Give a whole number of 1 or more, or unset {name}."
        raise ConfigError(name, "is not a number I can use", got=text, do=do)
    return int(text)


def unwritable(error: OSError) -> ConfigError:
    """The one sentence for a cache that refuses a write, a full disk included."""
    return ConfigError(
        cache_dir(),
        "the cache folder cannot be written",
        got=error.strerror or str(error),
        do="Free some space, or set SFTLENS_CACHE to a folder you can write.",
    )
